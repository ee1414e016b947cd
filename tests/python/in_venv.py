# SPDX-License-Identifier: Apache-2.0
"""Runs a test with the packages of .venv (`make venv`). Looks for them when the test runs, not
when the build is set up. Without them the test is skipped, or fails where DV_REQUIRE_DATA=1.

    in_venv.py SOURCE_ROOT SCRIPT [ARGUMENT...]
"""

import os
import sys
from pathlib import Path

python = Path(sys.argv[1]) / ".venv" / "bin" / "python"
if not python.exists():
    print("there is no .venv with torch, safetensors and pillow: run `make venv`")
    sys.exit(1 if os.environ.get("DV_REQUIRE_DATA") == "1" else 77)
os.execv(python, [str(python), *sys.argv[2:]])
