/* 2.7's ints and floats: carved out of blocks of a thousand bytes that are never given back ({next, 41 objects}, PyIntBlock and
 * PyFloatBlock of Objects/). A free place has the link to the next in its type word. */
#include "analyzer/runtimes/cpython/refs.h"
#include "analyzer/runtimes/cpython/scan.h"

enum { BLOCK = 1000, MAX_NUMBERS = 1 << 30 };

static bool is_number(struct hr_py *py, uint64_t type)
{
    uint32_t t = hr_py_type_at(py, type);
    if (t == HR_NONE || hr_py_type(py, t)->flags & HR_PYF_HEAPTYPE)
        return false;
    return hr_py_type(py, t)->kind == HR_PK_INT2 || hr_py_type(py, t)->kind == HR_PK_FLOAT;
}

/* Every place holds a number or leads to a place of the same kind of block, or ends the list. */
static bool number_block(struct hr_py *py, uint64_t addr, unsigned places, unsigned each)
{
    unsigned word = py->img->word, numbers = 0;
    for (unsigned i = 0; i < places; i++) {
        uint64_t type = hr_py_word_at(py, addr + word + i * each + word);
        if (is_number(py, type))
            numbers++;
        else if (type && hr_py_block_left(py, type) == 0)
            return false;
    }
    return numbers > 0;
}

enum hr_status hr_py_find_numbers(struct hr_py *py, uint32_t first, struct hr_map *index, struct hr_u64vec *out)
{
    const struct hr_heap *h = py->heap;
    unsigned word = py->img->word, each = 2 * word + 8, places = (BLOCK - word) / each;
    out->max = MAX_NUMBERS;
    if (py->minor >= 0x0300)
        return HR_OK;
    struct hr_block_iter it = hr_block_iter(h, 0);
    while (it.id < h->n) {
        hr_id id = it.id;
        uint64_t addr = hr_block_next(&it), size = hr_block_size(h, id);
        if (h->state[id] != HR_USED || py->object[id] != HR_NONE || size < BLOCK || size > BLOCK + 64 || !number_block(py, addr, places, each))
            continue;
        HR_TRY(hr_map_put(index, addr, HR_PY_NUMBER_BLOCK));
        for (unsigned i = 0; i < places; i++) {
            uint64_t at = addr + word + i * each;
            if (!is_number(py, hr_py_word_at(py, at + word)))
                continue;
            HR_TRY(hr_map_put(index, at, first + (uint32_t)out->n));
            HR_TRY(hr_u64vec_push(out, at));
        }
    }
    return HR_OK;
}
