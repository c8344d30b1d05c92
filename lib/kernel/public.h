/* SPDX-License-Identifier: MIT */
/* What the library exports is marked; all else is hidden. */
#ifndef LIB_KERNEL_PUBLIC_H
#define LIB_KERNEL_PUBLIC_H

#define PUBLIC __attribute__((visibility("default")))

#endif
