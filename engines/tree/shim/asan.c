// SPDX-License-Identifier: GPL-2.0-only
/* --asan: every report is damage of the call, and the code goes on, as it does under KASAN. */
#include "shim.h"

#ifdef MEMSLOT_ASAN
void __asan_set_error_report_callback(void (*told)(const char *report));
unsigned long __asan_get_report_pc(void);
void *__asan_get_report_address(void);
int __asan_get_report_access_type(void);

static void reported(const char *report)
{
	int kind = MEMSLOT_OUT_OF_BOUNDS;
	struct ms_block *block;
	int count, booted, i;
	unsigned long at;

	if (!ms.running || ms.judging)
		return;
	/* We have closed the memory ourselves: which block it was says what is wrong. */
	at = (unsigned long)__asan_get_report_address();
	block = ms_blocks(&count, &booted);
	for (i = 0; i < count; i++)
		if (!block[i].live && at >= (unsigned long)block[i].start &&
		    at < (unsigned long)block[i].start + block[i].size)
			kind = MEMSLOT_USE_AFTER_FREE;
	ms_damage(kind, __asan_get_report_access_type() ? "ASan: a write" : "ASan: a read", __asan_get_report_pc());
}
#endif

void ms_asan_open(void)
{
#ifdef MEMSLOT_ASAN
	__asan_set_error_report_callback(reported);
#endif
}
