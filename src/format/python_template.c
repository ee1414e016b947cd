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
    "def scaled(size, numerator, denominator):\n"
    "    return max(1, (size * numerator + denominator // 2) // denominator)\n"
    "\n"
    "\n"
    "def resize(picture):\n"
    "    \"\"\"The short side to the network's size, then the centre.\"\"\"\n"
    "    columns, rows = COLUMNS, ROWS\n"
    "    if picture.width * ROWS >= picture.height * COLUMNS:\n"
    "        columns = scaled(picture.width, ROWS, picture.height)\n"
    "    else:\n"
    "        rows = scaled(picture.height, COLUMNS, picture.width)\n"
    "    picture = picture.resize((columns, rows), Image.Resampling.BILINEAR)\n"
    "    left, top = (columns - COLUMNS) // 2, (rows - ROWS) // 2\n"
    "    return picture.crop((left, top, left + COLUMNS, top + ROWS))\n";

const char dv_python_pad[] =
    "\n"
    "\n"
    "def scaled(size, numerator, denominator):\n"
    "    return max(1, (size * numerator + denominator // 2) // denominator)\n"
    "\n"
    "\n"
    "def resize(picture):\n"
    "    \"\"\"The long side to the network's size, centred on black.\"\"\"\n"
    "    columns, rows = COLUMNS, ROWS\n"
    "    if picture.width * ROWS >= picture.height * COLUMNS:\n"
    "        rows = scaled(picture.height, COLUMNS, picture.width)\n"
    "    else:\n"
    "        columns = scaled(picture.width, ROWS, picture.height)\n"
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

const char dv_python_group_norm[] =
    "\n"
    "\n"
    "def group_norm(channels):\n"
    "    \"\"\"At most 32 groups, of 8 channels or more.\"\"\"\n"
    "    groups = max(1, min(32, channels // 8))\n"
    "    while channels % groups:\n"
    "        groups -= 1\n"
    "    return nn.GroupNorm(groups, channels)\n";

const char dv_python_gate[] =
    "\n"
    "\n"
    "class SqueezeExcitation(nn.Module):\n"
    "    \"\"\"Scale each channel by what a small network makes of all their averages.\"\"\"\n"
    "\n"
    "    def __init__(self, channels, hidden, inner=nn.ReLU, outer=nn.Sigmoid):\n"
    "        super().__init__()\n"
    "        self.fc1 = nn.Conv2d(channels, hidden, 1)\n"
    "        self.inner = inner()\n"
    "        self.fc2 = nn.Conv2d(hidden, channels, 1)\n"
    "        self.outer = outer()\n"
    "\n"
    "    def forward(self, x):\n"
    "        gate = self.inner(self.fc1(x.mean((2, 3), keepdim=True)))\n"
    "        return x * self.outer(self.fc2(gate))\n";

const char dv_python_drop_path[] =
    "\n"
    "\n"
    "class DropPath(nn.Module):\n"
    "    \"\"\"Stochastic depth: while training, leave the branch out of some pictures.\"\"\"\n"
    "\n"
    "    def __init__(self, probability):\n"
    "        super().__init__()\n"
    "        self.probability = probability\n"
    "\n"
    "    def forward(self, x):\n"
    "        ones = x.new_ones(len(x), 1, 1, 1)\n"
    "        return x * F.dropout(ones, self.probability, self.training)\n";

const char dv_python_pad_shortcut[] =
    "\n"
    "\n"
    "class PadShortcut(nn.Module):\n"
    "    \"\"\"Every stride-th place, and channels of zeros.\"\"\"\n"
    "\n"
    "    def __init__(self, stride, more):\n"
    "        super().__init__()\n"
    "        self.stride, self.more = stride, more\n"
    "\n"
    "    def forward(self, x):\n"
    "        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))\n";

const char dv_python_unit[] =
    "\n"
    "\n"
    "def convolution(inputs, outputs, kernel, stride, padding, groups, norm):\n"
    "    \"\"\"A convolution, whose bias the norm behind it has where there is one.\"\"\"\n"
    "    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=norm is None)\n"
    "\n"
    "\n"
    "def made(kind, *arguments):\n"
    "    \"\"\"A norm or an activation; None is nothing.\"\"\"\n"
    "    return nn.Identity() if kind is None else kind(*arguments)\n";

static const char conv_class[] =
    "\n"
    "\n"
    "class ConvBlock(nn.Module):\n"
    "    \"\"\"Convolution, norm, activation.\"\"\"\n"
    "\n"
    "    def __init__(\n"
    "        self, inputs, outputs, kernel=3, stride=1, padding=None, groups=1,\n"
    "        norm=nn.BatchNorm2d, act=nn.ReLU,\n"
    "    ):\n"
    "        super().__init__()\n"
    "        padding = kernel // 2 if padding is None else padding\n"
    "        self.conv = convolution(inputs, outputs, kernel, stride, padding, groups, norm)\n"
    "        self.bn = made(norm, outputs)\n"
    "        self.act = made(act)\n"
    "\n"
    "    def forward(self, x):\n"
    "        return self.act(self.bn(self.conv(x)))\n";

static const char residual_class[] =
    "\n"
    "\n"
    "class ResidualBlock(nn.Module):\n"
    "    \"\"\"Two convolutions and a shortcut around them.\"\"\"\n"
    "\n"
    "    def __init__(\n"
    "        self, inputs, outputs, kernel=3, stride=1, groups=1,\n"
    "        norm=nn.BatchNorm2d, act=nn.ReLU, gate=None, drop=None, shortcut=None,\n"
    "    ):\n"
    "        super().__init__()\n"
    "        self.conv1 = convolution(inputs, outputs, kernel, stride, kernel // 2, groups, norm)\n"
    "        self.bn1 = made(norm, outputs)\n"
    "        self.conv2 = convolution(outputs, outputs, kernel, 1, kernel // 2, groups, norm)\n"
    "        self.bn2 = made(norm, outputs)\n"
    "        self.se = gate or nn.Identity()\n"
    "        self.drop = drop or nn.Identity()\n"
    "        self.downsample = shortcut or nn.Identity()\n"
    "        if shortcut is None and (stride != 1 or inputs != outputs):\n"
    "            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, stride, 0, 1, norm))\n"
    "            if norm is not None:\n"
    "                self.downsample.append(norm(outputs))\n"
    "        self.act = made(act)\n"
    "\n"
    "    def forward(self, x):\n"
    "        y = self.act(self.bn1(self.conv1(x)))\n"
    "        y = self.drop(self.se(self.bn2(self.conv2(y))))\n"
    "        return self.act(y + self.downsample(x))\n";

static const char bottleneck_class[] =
    "\n"
    "\n"
    "class BottleneckBlock(nn.Module):\n"
    "    \"\"\"Narrow to `middle` channels, convolve, widen; a shortcut around it.\"\"\"\n"
    "\n"
    "    def __init__(\n"
    "        self, inputs, middle, outputs, kernel=3, stride=1, groups=1,\n"
    "        norm=nn.BatchNorm2d, act=nn.ReLU, gate=None, drop=None, shortcut=None,\n"
    "    ):\n"
    "        super().__init__()\n"
    "        self.conv1 = convolution(inputs, middle, 1, 1, 0, 1, norm)\n"
    "        self.bn1 = made(norm, middle)\n"
    "        self.conv2 = convolution(middle, middle, kernel, stride, kernel // 2, groups, norm)\n"
    "        self.bn2 = made(norm, middle)\n"
    "        self.conv3 = convolution(middle, outputs, 1, 1, 0, 1, norm)\n"
    "        self.bn3 = made(norm, outputs)\n"
    "        self.se = gate or nn.Identity()\n"
    "        self.drop = drop or nn.Identity()\n"
    "        self.downsample = shortcut or nn.Identity()\n"
    "        if shortcut is None and (stride != 1 or inputs != outputs):\n"
    "            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, stride, 0, 1, norm))\n"
    "            if norm is not None:\n"
    "                self.downsample.append(norm(outputs))\n"
    "        self.act = made(act)\n"
    "\n"
    "    def forward(self, x):\n"
    "        y = self.act(self.bn1(self.conv1(x)))\n"
    "        y = self.act(self.bn2(self.conv2(y)))\n"
    "        y = self.drop(self.se(self.bn3(self.conv3(y))))\n"
    "        return self.act(y + self.downsample(x))\n";

static const char mbconv_class[] =
    "\n"
    "\n"
    "class MBConvBlock(nn.Module):\n"
    "    \"\"\"Widen to `middle` channels, convolve each by itself, narrow.\"\"\"\n"
    "\n"
    "    def __init__(\n"
    "        self, inputs, middle, outputs, kernel=3, stride=1,\n"
    "        norm=nn.BatchNorm2d, act=nn.ReLU, gate=None, drop=None,\n"
    "    ):\n"
    "        super().__init__()\n"
    "        self.is_widening = middle != inputs\n"
    "        if self.is_widening:\n"
    "            self.conv1 = convolution(inputs, middle, 1, 1, 0, 1, norm)\n"
    "            self.bn1 = made(norm, middle)\n"
    "        self.conv2 = convolution(middle, middle, kernel, stride, kernel // 2, middle, norm)\n"
    "        self.bn2 = made(norm, middle)\n"
    "        self.se = gate or nn.Identity()\n"
    "        self.conv3 = convolution(middle, outputs, 1, 1, 0, 1, norm)\n"
    "        self.bn3 = made(norm, outputs)\n"
    "        self.drop = drop or nn.Identity()\n"
    "        self.act = made(act)\n"
    "        self.has_skip = stride == 1 and inputs == outputs\n"
    "\n"
    "    def forward(self, x):\n"
    "        y = self.act(self.bn1(self.conv1(x))) if self.is_widening else x\n"
    "        y = self.se(self.act(self.bn2(self.conv2(y))))\n"
    "        y = self.bn3(self.conv3(y))\n"
    "        return x + self.drop(y) if self.has_skip else y\n";

static const char dwsep_class[] =
    "\n"
    "\n"
    "class SeparableBlock(nn.Module):\n"
    "    \"\"\"Convolve each channel by itself, then mix them.\"\"\"\n"
    "\n"
    "    def __init__(self, inputs, outputs, kernel=3, stride=1, norm=nn.BatchNorm2d, act=nn.ReLU):\n"
    "        super().__init__()\n"
    "        self.conv1 = convolution(inputs, inputs, kernel, stride, kernel // 2, inputs, norm)\n"
    "        self.bn1 = made(norm, inputs)\n"
    "        self.conv2 = convolution(inputs, outputs, 1, 1, 0, 1, norm)\n"
    "        self.bn2 = made(norm, outputs)\n"
    "        self.act = made(act)\n"
    "\n"
    "    def forward(self, x):\n"
    "        y = self.act(self.bn1(self.conv1(x)))\n"
    "        return self.act(self.bn2(self.conv2(y)))\n";

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
    case DV_PYTHON_BLOCK_MBCONV:
        return mbconv_class;
    case DV_PYTHON_BLOCK_DWSEP:
        return dwsep_class;
    case DV_PYTHON_BLOCK_LINEAR:
        break;
    }
    return NULL;
}
