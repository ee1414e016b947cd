/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_FORMAT_PYTHON_TEMPLATE_H
#define DV_FORMAT_PYTHON_TEMPLATE_H

/*
 * The parts of `model.py` that are the same in every model, as text. Only python_source.c uses
 * this. Each is shorter than the 4095 characters that C promises for a literal.
 */

extern const char dv_python_intro[];   /* docstring and imports */
extern const char dv_python_weights[]; /* load_weights() */
extern const char dv_python_place[];   /* place(), at(): only for rows written node by node */
extern const char dv_python_unit[];    /* convolution(), made(): for every block's class */
extern const char dv_python_group_norm[];   /* group_norm(), and what else a block is given */
extern const char dv_python_gate[];         /* SqueezeExcitation */
extern const char dv_python_drop_path[];    /* DropPath */
extern const char dv_python_pad_shortcut[]; /* PadShortcut */
extern const char dv_python_read[];    /* read_picture() */
extern const char dv_python_stretch[]; /* resize(), one of three */
extern const char dv_python_crop[];
extern const char dv_python_pad[];
extern const char dv_python_use[]; /* prepare(), network(), logits(), predict(), main() */

#endif
