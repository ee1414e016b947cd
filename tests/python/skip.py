# SPDX-License-Identifier: Apache-2.0
"""Stands in for the tests that need PyTorch when there is no .venv: skipped, or failed where
nothing may be left out."""

import os
import sys

print("there is no .venv with torch, safetensors and pillow: run `make venv`")
sys.exit(1 if os.environ.get("DV_REQUIRE_DATA") == "1" else 77)
