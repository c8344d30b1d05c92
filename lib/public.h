/* SPDX-License-Identifier: MIT */
/* What the library exports is marked; all else is hidden. */
#ifndef LIB_PUBLIC_H
#define LIB_PUBLIC_H

#define PUBLIC __attribute__((visibility("default")))

#endif
