/* SPDX-License-Identifier: MIT */
/* System calls as this library has them: one result, errno left alone. */
#ifndef LIB_RESULT_H
#define LIB_RESULT_H

#include <errno.h>

/* the value of a call, or -errno; errno as it was before */
#define SYS_RESULT(type, call) \
	__extension__({ \
		int saved_errno_ = errno; \
		type result_ = (call); \
		if (result_ < 0) { \
			result_ = -errno; \
			errno = saved_errno_; \
		} \
		result_; \
	})

#endif
