// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel code gives back: to the allocator that it is of, once, and when nobody can reach it any more. */
#define _GNU_SOURCE
#include <stdio.h>
#include "shim.h"

#define WALK 65536

static struct ms_met met[WALK];

static void amiss(int what, const struct ms_release *how, const char *of, void *pc)
{
	char text[64];

	snprintf(text, sizeof(text), "%s of %s", how->name, of);
	ms_damage(what, text, (unsigned long)pc);
}

static int points_at(const struct ms_block *slot, const struct ms_block *block)
{
	char **word = (char **)slot->start, **end = (char **)(slot->start + slot->size);

	for (; word < end; word++)
		if (*word == block->start)
			return 1;
	return 0;
}

/* A slot's links lead to other slots, in whatever set: of these only the one itself counts. */
static int is_or_has(const struct ms_block *slot, const struct ms_block *block)
{
	return slot == block || (block->object == MEMSLOT_NONE && slot->live && points_at(slot, block));
}

static int in_active(const struct ms_block *block)
{
	msu32 shape = 0;
	int as_id, i, n;

	for (as_id = 0; as_id < ms.spaces && ms_look_through(0); as_id++) {
		n = K(ms_walk)(ms.active[as_id], 0, met, WALK, &shape);
		ms_look_through(n);
		for (i = 0; i < n; i++)
			if (is_or_has(met[i].block, block))
				return 1;
	}
	return 0;
}

static int in_left(const struct ms_block *block)
{
	int i, n, booted;
	const struct ms_block *blocks = ms_blocks(&n, &booted);

	if (!ms_waiting() || !ms_look_through(n - booted))
		return 0;
	for (i = booted; i < n; i++)
		if (blocks[i].object != MEMSLOT_NONE && ms_may_be_held(&blocks[i]) && is_or_has(&blocks[i], block))
			return 1;
	return 0;
}

static void early(const struct ms_block *block, void *pc)
{
	if (!ms.running || ms.entry < 0)
		return;
	if (in_active(block))
		ms_damage(MEMSLOT_EARLY_FREE, "freed while the active set holds it", (unsigned long)pc);
	else if (in_left(block))
		ms_damage(MEMSLOT_EARLY_FREE, "freed while readers may hold it", (unsigned long)pc);
}

static void note(const struct ms_block *block, const char *by)
{
	struct memslot_event *e = ms_event(MEMSLOT_EV_FREE, block->kind, by);
	struct memslot_slot *was;

	e->a = block->size;
	e->object = block->object;
	if (block->object == MEMSLOT_NONE)
		return;
	was = ms_epitaph(block->object);
	K(ms_describe)(block->start, was);
	e->slot = (msu32)was->as_id << 16 | was->id;
	e->flags = was->flags;
	e->a = was->base_gfn;
	e->b = was->npages;
}

/* `cache`: of which kmem_cache it must be, if it must. */
void ms_put(const void *p, const struct ms_release *how, const void *cache, void *pc)
{
	struct ms_block *block;
	char gave[32];

	ms_service();
	if ((uintptr_t)p <= 16)
		return;
	block = K(ms_block_at)(p);
	if (block && block->by->sleeps)
		ms_may_sleep(how->name, pc);
	if (!block) {
		amiss(MEMSLOT_BAD_FREE, how, "what nobody gave", pc);
		return;
	}
	if (!block->live && how->only_warns) {
		ms.warned += !ms.judging;
		ms_event(MEMSLOT_EV_WARN, 0, "vfree of what is free")->pc = ms_offset((unsigned long)pc);
		return;
	}
	if (!block->live) {
		amiss(MEMSLOT_DOUBLE_FREE, how, "what is free", pc);
		return;
	}
	if (!(block->by->pool & how->pools)) {
		snprintf(gave, sizeof(gave), "what %s gave", block->by->name);
		amiss(MEMSLOT_WRONG_FREE, how, gave, pc);
	}
	if (cache && block->cache && block->cache != cache)
		amiss(MEMSLOT_WRONG_FREE, how, "another cache's object", pc);
	early(block, pc);
	note(block, how->name);
	ms_freed(block);
}
