/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_FORMAT_PYTHON_TRAIN_H
#define DV_FORMAT_PYTHON_TRAIN_H

/*
 * Writes `train.py`: trains the network of the model.py beside it from nothing, in PyTorch, on a
 * folder of pictures, with the hyperparameters that were used here. For people who leave: the same
 * recipe (decay, schedule, averages, augmentation, choice of the best epoch), other random numbers.
 */

struct dv_buffer;
struct dv_json;

/* Append the whole file. `hyperparameters`: an object, as dv_hyperparameters_to_json() makes it. */
void dv_python_train_write(const struct dv_json *hyperparameters, struct dv_buffer *buffer);

#endif
