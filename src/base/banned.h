/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included into every source file by the build (-include): calls that we do not make do not
 * compile. System headers that the poison would reach are included first.
 */
#ifndef DV_BASE_BANNED_H
#define DV_BASE_BANNED_H

#ifndef __ASSEMBLER__ /* the build hands this to assembly too */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol atof
#pragma GCC poison gmtime localtime asctime ctime rand srand system popen

#endif

#endif
