-- SPDX-License-Identifier: Apache-2.0
--
-- What a search looks at, folded (base/fold.h), since databases fold by their locale or in ASCII only. NULL: the text
-- itself is looked at, folded by the database; in rows from before this column, and in lines of ASCII.

ALTER TABLE datasets ADD COLUMN search text;
ALTER TABLE models ADD COLUMN search text;
ALTER TABLE training_logs ADD COLUMN search text;
