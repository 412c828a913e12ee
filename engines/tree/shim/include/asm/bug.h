// SPDX-License-Identifier: GPL-2.0-only
/*
 * In place of the tree's asm/bug.h: WARN and BUG call the shim where the tree's would trap, and every hit counts,
 * not only the first one of a process's life.
 */
#ifndef _ASM_X86_BUG_H
#define _ASM_X86_BUG_H
#include <linux/compiler.h>
#include <linux/instrumentation.h>
#include <linux/once_lite.h>
#include <linux/stringify.h>

void ms_warn(const char *file, int line, const char *function);
void ms_bug(const char *file, int line, const char *function) __attribute__((noreturn));

#define HAVE_ARCH_BUG
#define BUG() ms_bug(__FILE__, __LINE__, __func__)
#define BUGFLAG_WARNING 1
#define BUGFLAG_ONCE 2
#define BUGFLAG_NO_CUT_HERE 8
#define BUGFLAG_TAINT(taint) 0
#define __WARN_FLAGS(...) ms_warn(__FILE__, __LINE__, __func__)

#include <asm-generic/bug.h>

#undef __WARN_printf
#define __WARN_printf(...) ms_warn(__FILE__, __LINE__, __func__)
#undef DO_ONCE_LITE_IF
#define DO_ONCE_LITE_IF(condition, call, ...)	\
	({					\
		bool met = !!(condition);	\
						\
		if (unlikely(met))		\
			call(__VA_ARGS__);	\
		unlikely(met);			\
	})
#endif
