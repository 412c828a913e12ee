// SPDX-License-Identifier: GPL-2.0-only
/* x86's own are patched into the code at boot. Nothing boots here: plain variables do. */
#include <asm-generic/runtime-const.h>
