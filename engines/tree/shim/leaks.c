// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is alive and out of everybody's reach. A slot object is reached by being in a set; other memory by any word
 * that looks like a pointer to it, in slot objects and in the VM's own fields. A call that has not returned still
 * holds what its stack and its arrays point at.
 */
#include "shim.h"

#define SCANNED 65536	/* bytes of a block that are looked through for pointers */
static void reach(struct ms_block *block);

/* `by_call`: words of a call under way, which may hold slot objects as well. */
static void scan(const unsigned long *word, unsigned long bytes, int by_call)
{
	unsigned long i;

	for (i = 0; i < bytes / 8; i++) {
		struct ms_block *block = word[i] > 65536 ? K(ms_block_at)((void *)word[i]) : NULL;

		if (block && (by_call || block->object == MEMSLOT_NONE))
			reach(block);
	}
}

static void reach(struct ms_block *block)
{
	if (block->reached || !block->live)
		return;
	block->reached = 1;
	scan((const unsigned long *)block->start, block->size < SCANNED ? block->size : SCANNED, 0);
}

static void by_vm(void)
{
	unsigned long edges[4];

	K(ms_vm_fields)(ms.vm, edges);
	scan((const unsigned long *)edges[0], edges[1] - edges[0], 1);
	scan((const unsigned long *)edges[2], edges[3] - edges[2], 1);
}

static void by_call(struct ms_block *blocks, int from, int to)
{
	const unsigned long *words;
	unsigned long n = ms_stack(&words);
	int i;

	scan(words, n * 8, 1);
	for (i = from; i < to; i++)
		if (blocks[i].live && blocks[i].kind == MEMSLOT_FAULT_ARRAY) {
			reach(&blocks[i]);
			scan((const unsigned long *)blocks[i].start,
			     blocks[i].size < SCANNED ? blocks[i].size : SCANNED, 1);
		}
}

static void lost(const struct ms_block *block, struct ms_leaks *leaks, int note)
{
	struct memslot_event *e;
	struct memslot_slot s;

	if (block->object != MEMSLOT_NONE)
		leaks->slots++;
	else if (block->kind == MEMSLOT_FAULT_BITMAP)
		leaks->bitmaps++;
	else
		leaks->other++;
	if (!note)
		return;
	e = ms_event(MEMSLOT_EV_LEAK, block->kind, block->by->name);
	e->a = block->size;
	if (block->object == MEMSLOT_NONE)
		return;
	K(ms_describe)(block->start, &s);
	e->object = block->object;
	e->slot = (msu32)s.as_id << 16 | s.id;
	e->flags = s.flags;
	e->a = s.base_gfn;
	e->b = s.npages;
}

/* The sets have been read: the objects in them are marked already. */
struct ms_leaks ms_find_leaks(int returned, int note)
{
	struct ms_leaks leaks = { 0, 0, 0 };
	int count, booted, i, all = 1;
	struct ms_block *blocks = ms_blocks(&count, &booted);

	for (i = booted; i < count; i++)
		if (blocks[i].reached && blocks[i].live && blocks[i].object != MEMSLOT_NONE)
			scan((const unsigned long *)blocks[i].start, blocks[i].size, 0);
	for (i = booted; i < count; i++)
		all &= !blocks[i].live || blocks[i].reached;
	if (all)
		return leaks;
	for (i = 0; i < booted; i++)
		blocks[i].reached = 0;
	by_vm();
	if (!returned)
		by_call(blocks, booted, count);
	for (i = booted; i < count; i++)
		if (blocks[i].live && !blocks[i].reached)
			lost(&blocks[i], &leaks, note);
	return leaks;
}
