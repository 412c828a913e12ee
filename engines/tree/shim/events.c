// SPDX-License-Identifier: GPL-2.0-only
/* What happens, in order; WARN, BUG and UBSan's reports; and the faults that the case asks for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "shim.h"

#define ROOM 16384

static struct memslot_event events[ROOM];
static struct memslot_event ignored;
static msu32 count, lost;

struct ms_state ms;

void ms_events_begin(void)
{
	count = lost = 0;
}

msu32 ms_events(const struct memslot_event **out, msu32 *out_lost)
{
	*out = events;
	*out_lost = lost;
	return count;
}

struct memslot_event *ms_event(int kind, int what, const char *text)
{
	struct memslot_event *e;

	if (ms.judging || (kind < MEMSLOT_EV_MISHAP && !(ms.want & MEMSLOT_WANT_EVENTS)))
		return &ignored;
	if (count == ROOM) {
		lost++;
		return &ignored;
	}
	e = &events[count++];
	memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->what = what;
	e->entry = ms.entry;
	e->object = e->slot = MEMSLOT_NONE;
	snprintf(e->text, sizeof(e->text), "%s", text ? text : "");
	return e;
}

unsigned long ms_offset(unsigned long pc)
{
	static unsigned long base;
	Dl_info here;

	if (!base && dladdr(&base, &here))
		base = (unsigned long)here.dli_fbase;
	return pc > base ? pc - base : 0;
}

/* Paths in the tree begin with ./, since the build says so. */
static const char *below_tree(const char *path)
{
	return path && path[0] == '.' && path[1] == '/' ? path + 2 : path ? path : "";
}

static struct memslot_event *at(int kind, const char *text, const char *file, int line, void *pc)
{
	struct memslot_event *e = ms_event(kind, 0, text);

	snprintf(e->file, sizeof(e->file), "%s", below_tree(file));
	e->line = line;
	e->pc = ms_offset((unsigned long)pc);
	return e;
}

static void warned(const char *text, const char *file, int line, void *pc)
{
	if (!ms.judging)
		ms.warned++;
	at(MEMSLOT_EV_WARN, text, file, line, pc);
}

void k_ms_warn(const char *file, int line, const char *function)
{
	ms.services++;
	warned(function, file, line, __builtin_return_address(0));
}

void k_ms_bug(const char *file, int line, const char *function)
{
	at(MEMSLOT_EV_BUG, function, file, line, __builtin_return_address(0));
	ms_leave(MEMSLOT_BUG);
}

void k_warn_slowpath_fmt(const char *file, int line, unsigned int taint, const char *format, ...)
{
	warned("warn_slowpath_fmt", file, line, __builtin_return_address(0));
}

void k_refcount_warn_saturate(void *refcount, int how)
{
	warned("refcount_warn_saturate", "", 0, __builtin_return_address(0));
}

void k_panic(const char *format, ...)
{
	at(MEMSLOT_EV_BUG, format, "", 0, __builtin_return_address(0));
	ms_leave(MEMSLOT_BUG);
}

void ms_damage(int what, const char *text, unsigned long pc)
{
	if (!ms.judging)
		ms.damage |= what;
	ms_event(MEMSLOT_EV_DAMAGE, what, text)->pc = ms_offset(pc);
}

int ms_fails(int kind)
{
	msu32 i, nth;

	if (!ms.faulting || ms.judging)
		return 0;
	nth = ms.met[kind]++;
	for (i = 0; i < ms.nfaults; i++) {
		if (ms.faults[i].kind != (msu32)kind || ms.faults[i].nth != nth)
			continue;
		ms.injected |= 1u << (i & 31);
		ms_event(MEMSLOT_EV_INJECTED, kind, "")->a = nth;
		return 1;
	}
	return 0;
}

/* A stub of the build stands for every function that nobody knows, and says its name. */
void ms_unresolved(const char *name)
{
	ms_event(MEMSLOT_EV_UNRESOLVED, 0, name)->pc = ms_offset((unsigned long)__builtin_return_address(0));
	ms_leave(MEMSLOT_UNRESOLVED);
}

/* UBSan, where it goes on; what it passes begins with the place in the source. */
struct place {
	const char *file;
	unsigned int line, column;
};

#define UNDEFINED(name)								\
	void __ubsan_handle_##name(struct place *where, void *x, void *y)	\
	{									\
		at(MEMSLOT_EV_UNDEFINED, #name, where->file, where->line, __builtin_return_address(0)); \
	}
UNDEFINED(out_of_bounds)
UNDEFINED(shift_out_of_bounds)
UNDEFINED(load_invalid_value)
