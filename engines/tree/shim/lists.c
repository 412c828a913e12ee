// SPDX-License-Identifier: GPL-2.0-only
/* How a list looks in user memory. */
#include <stdlib.h>
#include <string.h>
#include "shim.h"

static struct memslot_layout layout = {
	.header_size = 8,
	.entry_size = 64,
	.nent = { 0, 4 },
	.header_flags = { 4, 4 },
	.slot = { 0, 4 },
	.flags = { 4, 4 },
	.guest_phys_addr = { 8, 8 },
	.memory_size = { 16, 8 },
	.userspace_addr = { 24, 8 },
	.invalidate_slot = { 32, 1 },
	.padding = { 33, 31 },
};
static char *bytes;
static size_t room;

static int fits(struct memslot_field field, msu32 size)
{
	return (msu32)field.offset + field.size <= size;
}

API int memslot_set_layout(const struct memslot_layout *l)
{
	if (!l->ioctl || l->header_size > 4096 || !l->entry_size || l->entry_size > 4096)
		return -1;
	if (!fits(l->nent, l->header_size) || !fits(l->header_flags, l->header_size) ||
	    !fits(l->entries, l->header_size) || !fits(l->slot, l->entry_size) || !fits(l->flags, l->entry_size) ||
	    !fits(l->guest_phys_addr, l->entry_size) || !fits(l->memory_size, l->entry_size) ||
	    !fits(l->userspace_addr, l->entry_size) || !fits(l->invalidate_slot, l->entry_size) ||
	    !fits(l->padding, l->entry_size))
		return -1;
	layout = *l;
	return 0;
}

static void put(char *at, struct memslot_field field, msu64 value)
{
	memcpy(at + field.offset, &value, field.size < 8 ? field.size : 8);	/* little-endian */
}

msu32 ms_write_list(const struct memslot_case *c, const struct memslot_request *requests)
{
	size_t all = layout.header_size + (size_t)c->napply * layout.entry_size;
	const struct memslot_request *r;
	char *entry;

	if (all > room) {
		free(bytes);
		room = all * 2;
		bytes = malloc(room);
	}
	memset(bytes, 0, all);
	put(bytes, layout.nent, c->nent);
	put(bytes, layout.header_flags, c->header_flags);
	put(bytes, layout.entries, ms_user_base() + layout.header_size);
	entry = bytes + layout.header_size;
	for (r = requests; r < requests + c->napply; r++, entry += layout.entry_size) {
		put(entry, layout.slot, r->slot);
		put(entry, layout.flags, r->flags);
		put(entry, layout.guest_phys_addr, r->guest_phys_addr);
		put(entry, layout.memory_size, r->memory_size);
		put(entry, layout.userspace_addr, r->userspace_addr);
		put(entry, layout.invalidate_slot, r->invalidate_slot);
		memcpy(entry + layout.padding.offset, r->padding,
		       layout.padding.size < sizeof(r->padding) ? layout.padding.size : sizeof(r->padding));
	}
	ms_user(bytes, all);
	return layout.ioctl;
}

void ms_list_ioctl(msu32 number)
{
	if (!layout.ioctl)
		layout.ioctl = number;
}
