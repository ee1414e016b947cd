/* SPDX-License-Identifier: Apache-2.0 */
#include "format/python_template.h"

#include "format/python_block.h"

#include <stddef.h>

/* Python, line by line: read it in a model.py, where the quotes have no backslashes. */
/* clang-format off */
const char dv_python_intro[] =
    "\"\"\"A picture classifier, trained and exported by DeepVariance.\n"
    "\n"
    "    python model.py PICTURE...    print the most probable classes of each picture\n"
    "\n"
    "    import model\n"
    "    model.predict([\"a.png\"])      [[{\"class\": ..., \"probability\": ...}, ...]]\n"
    "    model.logits([\"a.png\"])       the network's raw outputs, [picture, class]\n"
    "    model.Network()               the network as a torch module\n"
    "\n"
    "Needs torch and pillow. The weights lie beside this file, in weights.safetensors.\n"
    "\"\"\"\n"
    "\n"
    "import json\n"
    "import struct\n"
    "import sys\n"
    "from collections import OrderedDict\n"
    "from pathlib import Path\n"
    "\n"
    "import torch\n"
    "import torch.nn.functional as F\n"
    "from PIL import Image, ImageOps\n"
    "from torch import nn\n"
    "\n";

const char dv_python_weights[] =
    "\n"
    "\n"
    "def load_weights(path):\n"
    "    \"\"\"Read a safetensors file: length of the header, JSON header, raw float32 values.\"\"\"\n"
    "    data = Path(path).read_bytes()\n"
    "    start = 8 + struct.unpack(\"<Q\", data[:8])[0]\n"
    "    weights = {}\n"
    "    for name, entry in json.loads(data[8:start]).items():\n"
    "        if name != \"__metadata__\":\n"
    "            begin, end = entry[\"data_offsets\"]\n"
    "            values = bytearray(data[start + begin : start + end])\n"
    "            weights[name] = torch.frombuffer(values, dtype=torch.float32).reshape(entry[\"shape\"])\n"
    "    return weights\n";

const char dv_python_place[] =
    "\n"
    "\n"
    "def place(root, path, module):\n"
    "    \"\"\"Put a module where its tensors are in the weights file: \"s1.0.conv1\".\"\"\"\n"
    "    *folders, name = path.split(\".\")\n"
    "    for folder in folders:\n"
    "        root = root._modules.setdefault(folder, nn.Module())\n"
    "    root._modules[name] = module\n"
    "\n"
    "\n"
    "def at(root, path):\n"
    "    \"\"\"The module that place() put there.\"\"\"\n"
    "    for name in path.split(\".\"):\n"
    "        root = root._modules[name]\n"
    "    return root\n";

const char dv_python_read[] =
    "\n"
    "\n"
    "def read_picture(path):\n"
    "    \"\"\"Decode, turn as the camera says, lay alpha over white, convert to the colours wanted.\"\"\"\n"
    "    with Image.open(path) as file:\n"
    "        picture = ImageOps.exif_transpose(file)\n"
    "    if picture.mode.startswith(\"I\"):\n"
    "        # 16 bits a pixel: keep the high byte.\n"
    "        values = torch.frombuffer(bytearray(picture.convert(\"I\").tobytes()), dtype=torch.int32)\n"
    "        values = (values >> 8).clamp(0, 255).tolist()\n"
    "        picture = Image.frombytes(\"L\", picture.size, bytes(values))\n"
    "    if picture.mode in (\"RGBA\", \"LA\", \"PA\") or \"transparency\" in picture.info:\n"
    "        picture = picture.convert(\"RGBA\")\n"
    "        white = Image.new(\"RGBA\", picture.size, \"white\")\n"
    "        picture = Image.alpha_composite(white, picture)\n"
    "    return picture.convert(MODE)\n";

const char dv_python_stretch[] =
    "\n"
    "\n"
    "def resize(picture):\n"
    "    \"\"\"To the network's size, whatever the aspect.\"\"\"\n"
    "    return picture.resize((COLUMNS, ROWS), Image.Resampling.BILINEAR)\n";

const char dv_python_crop[] =
    "\n"
    "\n"
    "def resize(picture):\n"
    "    \"\"\"The short side to the network's size, then the centre.\"\"\"\n"
    "    scale = max(COLUMNS / picture.width, ROWS / picture.height)\n"
    "    columns = max(COLUMNS, int(picture.width * scale + 0.5))\n"
    "    rows = max(ROWS, int(picture.height * scale + 0.5))\n"
    "    picture = picture.resize((columns, rows), Image.Resampling.BILINEAR)\n"
    "    left, top = (columns - COLUMNS) // 2, (rows - ROWS) // 2\n"
    "    return picture.crop((left, top, left + COLUMNS, top + ROWS))\n";

const char dv_python_pad[] =
    "\n"
    "\n"
    "def resize(picture):\n"
    "    \"\"\"The long side to the network's size, centred on black.\"\"\"\n"
    "    scale = min(COLUMNS / picture.width, ROWS / picture.height)\n"
    "    columns = min(COLUMNS, max(1, int(picture.width * scale + 0.5)))\n"
    "    rows = min(ROWS, max(1, int(picture.height * scale + 0.5)))\n"
    "    picture = picture.resize((columns, rows), Image.Resampling.BILINEAR)\n"
    "    canvas = Image.new(MODE, (COLUMNS, ROWS))\n"
    "    canvas.paste(picture, ((COLUMNS - columns) // 2, (ROWS - rows) // 2))\n"
    "    return canvas\n";

const char dv_python_use[] =
    "\n"
    "\n"
    "def prepare(path):\n"
    "    \"\"\"A picture file as the network takes it: [channel, row, column], normalised.\"\"\"\n"
    "    picture = resize(read_picture(path))\n"
    "    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)\n"
    "    pixels = pixels.reshape(ROWS, COLUMNS, len(MEAN)).permute(2, 0, 1).float() / 255\n"
    "    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]\n"
    "\n"
    "\n"
    "_network = None\n"
    "\n"
    "\n"
    "def network():\n"
    "    \"\"\"The network with its trained weights, loaded once.\"\"\"\n"
    "    global _network\n"
    "    if _network is None:\n"
    "        _network = Network()\n"
    "        _network.load_state_dict(load_weights(Path(__file__).with_name(\"weights.safetensors\")))\n"
    "        _network.eval()\n"
    "    return _network\n"
    "\n"
    "\n"
    "@torch.inference_mode()\n"
    "def logits(paths, batch_size=64):\n"
    "    \"\"\"The network's raw outputs for picture files: [picture, class].\"\"\"\n"
    "    outputs = [torch.empty(0, len(CLASSES))]\n"
    "    for start in range(0, len(paths), batch_size):\n"
    "        batch = torch.stack([prepare(path) for path in paths[start : start + batch_size]])\n"
    "        outputs.append(network()(batch))\n"
    "    return torch.cat(outputs)\n"
    "\n"
    "\n"
    "def predict(paths, top_k=5):\n"
    "    \"\"\"One list a picture, best first: [{\"class\": name, \"probability\": number}, ...].\"\"\"\n"
    "    predictions = []\n"
    "    for row in logits(paths).softmax(1):\n"
    "        values, indexes = row.topk(min(top_k, len(CLASSES)))\n"
    "        pairs = zip(values.tolist(), indexes.tolist())\n"
    "        predictions.append([{\"class\": CLASSES[i], \"probability\": p} for p, i in pairs])\n"
    "    return predictions\n"
    "\n"
    "\n"
    "def main(paths):\n"
    "    if not paths:\n"
    "        print(\"usage: python model.py PICTURE...\", file=sys.stderr)\n"
    "        return 2\n"
    "    for path, guesses in zip(paths, predict(paths)):\n"
    "        print(path)\n"
    "        for guess in guesses:\n"
    "            print(f\"  {guess['probability']:7.2%}  {guess['class']}\")\n"
    "    return 0\n"
    "\n"
    "\n"
    "if __name__ == \"__main__\":\n"
    "    sys.exit(main(sys.argv[1:]))\n";

static const char conv_class[] =
    "\n"
    "\n"
    "class ConvBlock(nn.Module):\n"
    "    \"\"\"Convolution, batch norm, ReLU, pooling: the last three where asked for.\"\"\"\n"
    "\n"
    "    def __init__(\n"
    "        self, inputs, outputs, kernel=3, stride=1, padding=None, groups=1,\n"
    "        norm=True, act=True, pool=None,\n"
    "    ):\n"
    "        super().__init__()\n"
    "        padding = kernel // 2 if padding is None else padding\n"
    "        pools = {None: nn.Identity, \"max\": nn.MaxPool2d, \"avg\": nn.AvgPool2d}\n"
    "        self.conv = nn.Conv2d(\n"
    "            inputs, outputs, kernel, stride, padding, groups=groups, bias=not norm\n"
    "        )\n"
    "        self.bn = nn.BatchNorm2d(outputs) if norm else nn.Identity()\n"
    "        self.act = nn.ReLU() if act else nn.Identity()\n"
    "        self.pool = pools[pool](2)\n"
    "\n"
    "    def forward(self, x):\n"
    "        return self.pool(self.act(self.bn(self.conv(x))))\n";

static const char residual_class[] =
    "\n"
    "\n"
    "class ResidualBlock(nn.Module):\n"
    "    \"\"\"Two convolutions and a shortcut around them.\"\"\"\n"
    "\n"
    "    def __init__(\n"
    "        self, inputs, outputs, kernel=3, stride=1, padding=None, groups=1, norm=True, act=True\n"
    "    ):\n"
    "        super().__init__()\n"
    "        padding = kernel // 2 if padding is None else padding\n"
    "        options = {\"groups\": groups, \"bias\": not norm}\n"
    "        self.conv1 = nn.Conv2d(inputs, outputs, kernel, stride, padding, **options)\n"
    "        self.bn1 = nn.BatchNorm2d(outputs) if norm else nn.Identity()\n"
    "        self.conv2 = nn.Conv2d(outputs, outputs, kernel, 1, padding, **options)\n"
    "        self.bn2 = nn.BatchNorm2d(outputs) if norm else nn.Identity()\n"
    "        self.downsample = nn.Identity()\n"
    "        if stride != 1 or inputs != outputs:\n"
    "            self.downsample = nn.Sequential(\n"
    "                nn.Conv2d(inputs, outputs, 1, stride, bias=not norm),\n"
    "                *([nn.BatchNorm2d(outputs)] if norm else []),\n"
    "            )\n"
    "        self.act = nn.ReLU() if act else nn.Identity()\n"
    "\n"
    "    def forward(self, x):\n"
    "        y = self.act(self.bn1(self.conv1(x)))\n"
    "        y = self.bn2(self.conv2(y))\n"
    "        return self.act(y + self.downsample(x))\n";

static const char bottleneck_class[] =
    "\n"
    "\n"
    "class BottleneckBlock(nn.Module):\n"
    "    \"\"\"Narrow to `middle` channels, convolve, widen; a shortcut around it.\"\"\"\n"
    "\n"
    "    def __init__(\n"
    "        self, inputs, middle, outputs, kernel=3, stride=1, padding=None, groups=1,\n"
    "        norm=True, act=True,\n"
    "    ):\n"
    "        super().__init__()\n"
    "        padding = kernel // 2 if padding is None else padding\n"
    "        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=not norm)\n"
    "        self.bn1 = nn.BatchNorm2d(middle) if norm else nn.Identity()\n"
    "        self.conv2 = nn.Conv2d(\n"
    "            middle, middle, kernel, stride, padding, groups=groups, bias=not norm\n"
    "        )\n"
    "        self.bn2 = nn.BatchNorm2d(middle) if norm else nn.Identity()\n"
    "        self.conv3 = nn.Conv2d(middle, outputs, 1, bias=not norm)\n"
    "        self.bn3 = nn.BatchNorm2d(outputs) if norm else nn.Identity()\n"
    "        self.downsample = nn.Identity()\n"
    "        if stride != 1 or inputs != outputs:\n"
    "            self.downsample = nn.Sequential(\n"
    "                nn.Conv2d(inputs, outputs, 1, stride, bias=not norm),\n"
    "                *([nn.BatchNorm2d(outputs)] if norm else []),\n"
    "            )\n"
    "        self.act = nn.ReLU() if act else nn.Identity()\n"
    "\n"
    "    def forward(self, x):\n"
    "        y = self.act(self.bn1(self.conv1(x)))\n"
    "        y = self.act(self.bn2(self.conv2(y)))\n"
    "        y = self.bn3(self.conv3(y))\n"
    "        return self.act(y + self.downsample(x))\n";

/* clang-format on */

const char *dv_python_block_class(enum dv_python_block block)
{
    switch (block) {
    case DV_PYTHON_BLOCK_CONV:
        return conv_class;
    case DV_PYTHON_BLOCK_RESIDUAL:
        return residual_class;
    case DV_PYTHON_BLOCK_BOTTLENECK:
        return bottleneck_class;
    case DV_PYTHON_BLOCK_LINEAR:
        break;
    }
    return NULL;
}
