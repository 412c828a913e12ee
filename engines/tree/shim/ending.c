// SPDX-License-Identifier: GPL-2.0-only
/* The ways in which a call does not return: signals, the alarm for endless loops, and whoever calls ms_leave(). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include "shim.h"

#define TICK_MS 5
#ifdef MEMSLOT_ASAN
#define PATIENCE 300	/* a report of ASan's takes some time, too */
#else
#define PATIENCE 100	/* half a second: what the longest dirty bitmap takes that is looked through once */
#endif
#define DEEPEST_STACK (1UL << 20)	/* what lies beyond is no stack of the kernel's */
#define NULL_PAGE 65536UL
#define FREED_TOP 0x6b6bUL	/* of a pointer out of freed memory, see memory.c */

static unsigned long stack_copy[4096], stack_words;
static char *stack_top;
static volatile unsigned long seen_services;
static volatile unsigned int ticks, ticks_in_all, patience = PATIENCE, patience_in_all = 2000;

void ms_stack_begins(void *top)
{
	stack_top = top;
	stack_words = 0;
	ticks = ticks_in_all = 0;
}

unsigned long ms_stack(const unsigned long **words)
{
	*words = stack_copy;
	return stack_words;
}

/* A call that never returns still holds what its stack points at. */
static void keep_stack(unsigned long from)
{
	unsigned long *word = (unsigned long *)(from & ~7UL);

	if (!stack_top || stack_words || ms.judging || (unsigned long)stack_top - from > DEEPEST_STACK)
		return;
	while ((char *)word < stack_top && stack_words < sizeof(stack_copy) / sizeof(stack_copy[0]))
		stack_copy[stack_words++] = *word++;
}

void ms_leave(int ended)
{
	if (!ms.running) {
		fprintf(stderr, "libmemslot: ended (%d) outside a call\n", ended);
		abort();
	}
	keep_stack((unsigned long)__builtin_frame_address(0));
	siglongjmp(ms.out, ended);
}

static int from_freed(const greg_t *regs)
{
	int i;

	for (i = REG_R8; i <= REG_RSP; i++)
		if ((unsigned long)regs[i] >> 48 == FREED_TOP)
			return 1;
	return 0;
}

static void crashed(int signal_number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	unsigned long address = (unsigned long)info->si_addr;
	struct memslot_event *e;
	int i;

	if (!ms.running) {
		signal(signal_number, SIG_DFL);	/* not ours: it happens again, and ends the process */
		return;
	}
	if (!ms.judging) {
		if (from_freed(regs))
			ms.why = MEMSLOT_WHY_FREED;
		else if (info->si_code != SI_KERNEL && address < NULL_PAGE)
			ms.why = MEMSLOT_WHY_NULL;
		else
			ms.why = MEMSLOT_WHY_WILD;
		e = ms_event(MEMSLOT_EV_OOPS, ms.why, strsignal(signal_number));
		e->a = address;
		e->b = signal_number;
		e->pc = ms_offset(regs[REG_RIP]);
	}
	keep_stack(regs[REG_RSP]);
	for (i = REG_R8; i < REG_RSP && !ms.judging && stack_words < sizeof(stack_copy) / sizeof(stack_copy[0]); i++)
		stack_copy[stack_words++] = regs[i];
	siglongjmp(ms.out, MEMSLOT_OOPS);
}

static void ticked(int signal_number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	if (!ms.running)
		return;
	if (seen_services != ms.services) {
		seen_services = ms.services;
		ticks = 0;
	}
	if (++ticks < patience && ++ticks_in_all < patience_in_all)
		return;
	ms_event(MEMSLOT_EV_LOOP, 0, "")->pc = ms_offset(regs[REG_RIP]);
	keep_stack(regs[REG_RSP]);
	siglongjmp(ms.out, MEMSLOT_LOOP);
}

/* A list of millions of entries may be looked through without any service; a microsecond is given for each. */
void ms_allow(unsigned long entries)
{
	patience = PATIENCE + entries / 1000 / TICK_MS;
	patience_in_all = 2000 + patience;
}

void ms_signals(void)
{
	static char other_stack[65536];
	static const int deadly[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	stack_t alt = { .ss_sp = other_stack, .ss_size = sizeof(other_stack) };
	struct sigaction crash = { .sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
	struct sigaction tick = { .sa_sigaction = ticked, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART };
	struct sigevent notice = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGVTALRM };
	struct itimerspec every = { { 0, TICK_MS * 1000000 }, { 0, TICK_MS * 1000000 } };
	timer_t timer;
	size_t i;

	sigaltstack(&alt, NULL);
	for (i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		sigaction(deadly[i], &crash, NULL);
	sigaction(SIGVTALRM, &tick, NULL);
	/* The time that this thread computes: a machine that is busy elsewhere makes no loop. */
	notice._sigev_un._tid = gettid();
	if (!timer_create(CLOCK_THREAD_CPUTIME_ID, &notice, &timer))
		timer_settime(timer, 0, &every, NULL);
}
