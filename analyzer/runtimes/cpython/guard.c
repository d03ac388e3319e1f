/* Debug hooks of Python's allocators (PYTHONMALLOC=debug and its sisters, -X dev, PyMem_SetupDebugHooks()): every block is
 *   size, big-endian word | API letter 'r', 'm', 'o' | forbidden bytes to the end of the word || what was asked for || a word of forbidden bytes …
 * (Objects/obmalloc.c, "debug hooks"). The forbidden byte was 0xFB and is 0xFD since 3.7.4 and 3.8. What is too large for pymalloc
 * passes the hooks twice: a guard of its own in a guard of raw memory. Hooks may be set late: each block says for itself. */
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/py.h"

static uint8_t forbidden(const struct hr_py *py) { return py->c->hexversion >= 0x03070400 ? 0xfd : 0xfb; }

static bool letter_ok(uint8_t c) { return c == 'r' || c == 'm' || c == 'o'; }

/* Of the word behind the letter, how many bytes are still forbidden ones. */
static unsigned intact(const struct hr_py *py, const uint8_t *p)
{
    unsigned word = py->img->word, n = 0;
    for (unsigned i = word + 1; i < 2 * word; i++)
        n += p[i] == forbidden(py);
    return n;
}

static bool whole(const struct hr_py *py, const uint8_t *p) { return letter_ok(p[py->img->word]) && intact(py, p) == py->img->word - 1u; }

static uint64_t requested(const struct hr_py *py, const uint8_t *p) { return hr_word_load(p, py->img->word, true); }

/* How many bytes behind the `asked` ones at addr are as they should be. */
static unsigned tail(const struct hr_py *py, uint64_t addr, uint64_t asked)
{
    uint8_t b[8];
    unsigned word = py->img->word, n = 0;
    if (hr_image_read(py->img, addr + asked, b, word) < word)
        return word;
    while (n < word && b[n] == forbidden(py))
        n++;
    return n;
}

/* A whole header, or one of which little enough is damaged that its size still leads to the bytes behind the block. */
static bool guard_at(const struct hr_py *py, const uint8_t *p, uint64_t size, uint64_t addr)
{
    unsigned word = py->img->word;
    if (size < 3 * word)
        return false;
    if (whole(py, p))
        return true;
    uint64_t asked = requested(py, p);
    return (intact(py, p) || letter_ok(p[word])) && asked <= size - 3 * word && tail(py, addr + 2 * word, asked) == word;
}

unsigned hr_py_guard_in(const struct hr_py *py, const uint8_t *p, uint64_t size, uint64_t addr)
{
    unsigned word = py->img->word, one = 2 * word;
    if (py->minor < 0x0300 || !guard_at(py, p, size, addr))
        return 0;
    uint64_t asked = requested(py, p);
    bool two = p[word] == 'r' && asked > 512 && asked <= size - 3 * word && p[one + word] != 'r' && guard_at(py, p + one, asked, addr + one);
    return two ? 2 * one : one;
}

static inline hr_id heap_at(const struct hr_py *py, uint64_t addr, uint64_t *into_ret)
{
    const struct hr_py_near *n = addr - py->last.lo < py->last.size ? &py->last : &py->own;
    if (addr - n->lo >= n->size)
        return hr_heap_at(py->heap, addr, into_ret);
    *into_ret = addr - n->lo;
    return n->id;
}

hr_id hr_py_block_at(const struct hr_py *py, uint64_t addr, uint64_t *into_ret)
{
    uint64_t into = 0;
    hr_id id = heap_at(py, addr, &into);
    unsigned guard = id != HR_NONE ? hr_py_guard(py, id) : 0;
    if (into < guard)
        return HR_NONE;
    if (into_ret)
        *into_ret = into - guard;
    return id;
}

uint64_t hr_py_usable(const struct hr_py *py, hr_id id)
{
    uint64_t size = hr_block_size(py->heap, id), guard = hr_py_guard(py, id), asked = 0, more = guard + guard / 2;
    if (!guard)
        return size;
    uint8_t b[8];
    if (hr_image_read(py->img, hr_block_addr(py->heap, id) + guard - 2 * py->img->word, b, py->img->word) == py->img->word)
        asked = requested(py, b);
    return size > more ? hr_min(asked, size - more) : 0;
}

static void damaged(struct hr_py *py, hr_id id, uint64_t addr, uint64_t asked, const char *what)
{
    char name[300] = "";
    if (py->object[id] != HR_NONE)
        snprintf(name, sizeof name, " (%s)", hr_strs_get(py->img->strs, py->types.v[py->object[id]].name));
    hr_note_at(py->in.notes, HR_NOTE_DAMAGE, "heap.corrupt.python_guard", addr,
               "Python's debug hooks: something was written %s the block at 0x%llx%s, of which %llu bytes were asked for", what, (unsigned long long)addr,
               name, (unsigned long long)asked);
    py->guards.damaged++;
}

/* addr: what the program was given. */
static void check(struct hr_py *py, hr_id id, uint64_t addr, uint64_t size)
{
    unsigned word = py->img->word;
    uint8_t b[16];
    if (hr_image_read(py->img, addr - 2 * word, b, 2 * word) < 2 * word)
        return;
    uint64_t asked = requested(py, b), most = size - hr_py_guard(py, id) - word;
    uint8_t c = b[word];
    py->guards.blocks[c == 'o' ? 2 : c == 'm' ? 1 : 0]++;
    if (asked > most) {
        damaged(py, id, addr, asked, "before");
        return;
    }
    py->guards.requested += asked;
    py->guards.held += size;
    if (!whole(py, b))
        damaged(py, id, addr, asked, "before");
    unsigned n = tail(py, addr, asked);
    if (n < word)
        damaged(py, id, addr, asked, n ? "close behind" : "behind");
}

void hr_py_check_guards(struct hr_py *py)
{
    if (!py->guards.front)
        return;
    struct hr_block_iter it = hr_block_iter(py->heap, 0);
    while (it.id < py->heap->n) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it);
        if (hr_py_guard(py, id))
            check(py, id, addr + hr_py_guard(py, id), hr_block_size(py->heap, id));
    }
}
