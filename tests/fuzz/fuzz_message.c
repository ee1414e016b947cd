/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes are refused or decode to a message that encodes and decodes to itself. */

#include "base/alloc.h"
#include "wire/message.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dv_message message, again;

    if (dv_message_decode((const char *)data, size, &message, NULL) != DV_OK) {
        return 0;
    }
    char *line = dv_message_encode(&message);
    enum dv_status status = dv_message_decode(line, strlen(line), &again, NULL);
    assert(status == DV_OK);
    assert(again.type == message.type);
    dv_message_finish(&again);
    dv_message_finish(&message);
    dv_free(line);
    return 0;
}
