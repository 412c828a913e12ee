// SPDX-License-Identifier: GPL-2.0-only
/* Once a process: the first VM is made, and what the kernel's memory holds then is what every case begins with. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "shim.h"

extern char data_begins[] __asm__("__start_kdata"), data_ends[] __asm__("__stop_kdata");

static struct memslot_facts facts;
static char *data_copy;
static pid_t opened_by;
static char last_words[200];

API const struct memslot_facts *memslot_facts(void)
{
	return &facts;
}

API const char *memslot_last_words(void)
{
	return last_words;
}

void ms_reset(void)
{
	memcpy(data_begins, data_copy, data_ends - data_begins);
}

static void speak(const char *what)
{
	const struct memslot_event *events;
	msu32 lost, n = ms_events(&events, &lost);
	const struct memslot_event *e = n ? &events[n - 1] : NULL;

	snprintf(last_words, sizeof(last_words), "%s%s%s%s%s", what, e ? ": " : "", e ? e->text : "",
		 e && e->file[0] ? " in " : "", e ? e->file : "");
}

static int __attribute__((noinline)) boot(void)
{
	int ended = sigsetjmp(ms.out, 0);
	void *vm = NULL;

	ms.entry = GIVEN;
	if (!ended) {
		ms.running = 1;
		vm = K(ms_create)();
	}
	ms.running = 0;
	if (!vm) {
		speak(ended ? "kvm_create_vm() does not return" : "kvm_create_vm() answers with an error");
		return ended ? -ended : -100;
	}
	ms.vm = vm;
	ms.active = K(ms_active)(vm);
	ms.spaces = facts.address_spaces < MEMSLOT_SPACES ? facts.address_spaces : MEMSLOT_SPACES;
	return 0;
}

API int memslot_open(void)
{
	int r;

	if (opened_by == getpid())
		return 0;
	ms_signals();
	if (opened_by) {
		opened_by = getpid();
		return 0;
	}
	facts.abi = MEMSLOT_ABI;
	K(ms_facts)(&facts);
	facts.sizeof_reset = data_ends - data_begins;
#ifdef MEMSLOT_ASAN
	facts.asan = 1;
#endif
#ifdef MEMSLOT_COVERAGE
	facts.coverage = 1;
	ms_coverage_open();
#endif
#ifdef MEMSLOT_X86
	facts.x86 = 1;
#endif
	ms_asan_open();
	ms_list_ioctl(facts.list_ioctl);
	if (ms_user_open()) {
		snprintf(last_words, sizeof(last_words), "no room for user addresses: half a TiB of them is needed");
		return -100;
	}
	ms_memory_open();
	r = boot();
	if (r)
		return r;
	data_copy = malloc(data_ends - data_begins);
	memcpy(data_copy, data_begins, data_ends - data_begins);
	ms_memory_boot();
	ms_locks_boot();
	facts.sizeof_reset += ms_booted_bytes();
	opened_by = getpid();
	return 0;
}
