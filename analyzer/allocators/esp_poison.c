/* Heap poisoning of ESP-IDF: 0xabba1234, [owner task,] the requested size, what the program got, 0xbaad5678 right behind it; the
 * comprehensive kind fills what is free with 0xfe. Layout: multi_heap_poisoning.c of IDF 3.0 to 6.0. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/esp_heap.h"

#define HEAD_CANARY 0xabba1234u
#define TAIL_CANARY 0xbaad5678u
enum { FILL = 0xfe, OWNERS = 64 /* tasks of one firmware; beyond that the word in front is no task */ };

static bool canary(const struct hr_esp *a, uint64_t at, uint32_t want)
{
    uint64_t v;
    return hr_image_uint(a->img, at, 4, &v) && v == want;
}

/* The part of a free block that is filled: behind its links, and in TLSF before the next block's prev_phys. */
static uint64_t filled_part(const struct hr_esp_heap *h, const struct hr_esp_block *b, uint64_t *at_ret)
{
    uint64_t links = h->control ? 8 : 4, back = h->control ? 4 : 0;
    *at_ret = b->mem + links;
    return b->size > links + back ? b->size - links - back : 0;
}

/* Light poisoning leaves canaries behind in what was freed, and fills (up to 5.0) what was never used. */
static bool stale_canary(const struct hr_esp *a, uint64_t at, uint64_t n)
{
    for (; n >= 4; at++, n--)
        if (canary(a, at, TAIL_CANARY))
            return true;
    return false;
}

static uint64_t count_fill(const struct hr_esp *a, uint64_t at, uint64_t n)
{
    uint64_t got = 0;
    for (struct hr_span s; n && (s = hr_image_peek(a->img, at, n)).n; at += s.n, n -= s.n)
        for (size_t i = 0; i < s.n; i++)
            got += s.p[i] == FILL;
    return got;
}

/* Owners are few, and each is a task's control block or nothing. */
static void find_tracking(const struct hr_esp *a, struct hr_esp_heap *h, const uint64_t *word, uint32_t n)
{
    uint64_t seen[OWNERS];
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = 0;
        if (word[i] && (word[i] & 3 || !hr_emb_ram(a->img, word[i], 64)))
            return;
        while (k < distinct && seen[k] != word[i])
            k++;
        if (k == distinct && distinct < OWNERS)
            seen[distinct++] = word[i];
    }
    if (n >= 8 && distinct <= n / 4 && !(distinct == 1 && !seen[0]))
        h->tracked = 4;
}

void hr_esp_vote(const struct hr_esp *a, struct hr_esp_votes *v, uint64_t mem, uint64_t size)
{
    uint64_t asked;
    v->used++;
    for (unsigned o = 0; o < 2; o++)
        if (canary(a, mem, HEAD_CANARY) && hr_image_uint(a->img, mem + 4 + 4 * o, 4, &asked) && asked <= size && canary(a, mem + 8 + 4 * o + asked, TAIL_CANARY))
            v->yes[o]++;
    if (v->nwords < HR_ESP_WORDS && size >= 16 && hr_image_uint(a->img, mem, 4, &v->word[0][v->nwords]) && hr_image_uint(a->img, mem + 8, 4, &v->word[1][v->nwords]))
        v->nwords++;
}

void hr_esp_decide(const struct hr_esp *a, const struct hr_esp_votes *v, struct hr_esp_heap *h)
{
    h->owner = v->yes[1] > v->yes[0] ? 4 : 0;
    h->poison = v->used && 2 * hr_max(v->yes[0], v->yes[1]) > v->used;
    if (!h->owner)
        find_tracking(a, h, v->word[h->poison], v->nwords);
}

void hr_esp_find_poison(const struct hr_esp *a, struct hr_esp_heap *h, struct hr_esp_votes *v)
{
    uint32_t steps = 0;
    uint64_t filled = 0, all = 0, at;
    struct hr_esp_block b;
    bool stale = false;
    memset(v, 0, sizeof *v);
    for (uint64_t p = h->first; p < hr_esp_last(h) && steps++ < HR_EMB_MAX_CHUNKS && hr_esp_block(a, h, p, &b); p = b.next) {
        if (!b.free) {
            hr_esp_vote(a, v, b.mem, b.size);
            continue;
        }
        uint64_t n = filled_part(h, &b, &at);
        filled += count_fill(a, at, n);
        all += n;
        stale = stale || stale_canary(a, at, n);
    }
    hr_esp_decide(a, v, h);
    h->slow = h->poison && all && !stale && 4 * filled > 3 * all;
}

void hr_esp_unpoison(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, uint64_t *mem, uint64_t *size)
{
    uint64_t head = *mem, over = 8 + h->owner, asked;
    if (h->poison && *size >= over + 4) {
        if (!canary(a, head, HEAD_CANARY))
            hr_esp_damage(a, row, "heap.corrupt.canary", head, "Bad head: expected 0xabba1234 (an underrun, or an overrun of the block before it)");
        *mem += over;
        *size -= over + 4;
        if (!hr_image_uint(a->img, head + 4 + h->owner, 4, &asked) || asked > *size) {
            hr_esp_damage(a, row, "heap.corrupt.canary", head + 4 + h->owner, "Size: the requested size is larger than the block");
        } else {
            *size = asked;
            if (!canary(a, *mem + asked, TAIL_CANARY)) {
                char what[120];
                snprintf(what, sizeof what, "Bad tail: expected 0xbaad5678 (an overrun of the %llu bytes at 0x%llx)", (unsigned long long)(asked - hr_min(asked, h->tracked)),
                         (unsigned long long)*mem + h->tracked);
                hr_esp_damage(a, row, "heap.corrupt.canary", *mem + asked, what);
            }
        }
    }
    if (h->tracked && *size >= h->tracked) {
        *mem += h->tracked;
        *size -= h->tracked;
    }
}

void hr_esp_check_free(const struct hr_esp *a, const struct hr_esp_heap *h, struct hr_arena *row, const struct hr_esp_block *b)
{
    uint64_t at, bad, n = filled_part(h, b, &at);
    if (h->slow && n && !hr_emb_filled(a->img, at, n, FILL, &bad))
        hr_esp_damage(a, row, "heap.corrupt.freed-write", bad, "Invalid data: expected 0xfe in a free block (written to after it was freed)");
}
