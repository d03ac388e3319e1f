/* _Py_DebugOffsets: what the interpreter itself says of its layout, from 3.13 on. It is not all that a heap needs; the rest comes from the
 * table of the version before, with what 3.14 changed (Include/internal/ of 3.14: a hash in tuples, tagged references and a stack
 * pointer in frames, a word more in code, functions and heap types, no pointer to the youngest generation), checked by the image's types. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/cpython/layout.h"

/* Places in the table of 3.14, in 8-byte numbers behind the cookie. */
static const struct { uint8_t at; uint16_t fact; } published[] = {
    {2, HR_PYS_RUNTIME},         {4, HR_PY_RT_INTERP_HEAD},   {5, HR_PYS_INTERP},          {6, HR_PY_IS_ID},
    {7, HR_PY_IS_NEXT},          {8, HR_PY_IS_THREADS},       {10, HR_PY_IS_GC},           {11, HR_PY_IS_MODULES},
    {12, HR_PY_IS_SYSDICT},      {13, HR_PY_IS_BUILTINS},     {14, HR_PY_IS_GIL},          {21, HR_PYS_TSTATE},
    {23, HR_PY_TS_NEXT},         {24, HR_PY_TS_INTERP},       {25, HR_PY_TS_CURRENT_FRAME}, {26, HR_PY_TS_THREAD_ID},
    {27, HR_PY_TS_NATIVE_ID},    {28, HR_PY_TS_DATASTACK},    {31, HR_PY_IFRAME_PREVIOUS}, {32, HR_PY_IFRAME_CODE},
    {33, HR_PY_IFRAME_INSTR_PTR}, {34, HR_PY_IFRAME_LOCALSPLUS}, {35, HR_PY_IFRAME_OWNER}, {36, HR_PY_IFRAME_STACKPOINTER},
    {39, HR_PY_CODE_FILENAME},   {40, HR_PY_CODE_NAME},       {41, HR_PY_CODE_QUALNAME},   {42, HR_PY_CODE_LINETABLE},
    {43, HR_PY_CODE_FIRSTLINENO}, {45, HR_PY_CODE_LOCALSPLUSNAMES}, {46, HR_PY_CODE_LOCALSPLUSKINDS}, {47, HR_PY_CODE_CODE},
    {49, HR_PYS_OBJECT},         {50, HR_PY_OB_TYPE},         {51, HR_PYS_TYPEOBJECT},     {52, HR_PY_TP_NAME},
    {54, HR_PY_TP_FLAGS},        {56, HR_PY_TUPLE_ITEMS},     {57, HR_PY_OB_SIZE},         {58, HR_PYS_LIST},
    {59, HR_PY_LIST_ITEMS},      {61, HR_PYS_SET},            {62, HR_PY_SET_USED},        {63, HR_PY_SET_TABLE},
    {64, HR_PY_SET_MASK},        {65, HR_PYS_DICT},           {66, HR_PY_DICT_KEYS},       {67, HR_PY_DICT_VALUES},
    {69, HR_PY_FLOAT_VALUE},     {71, HR_PY_LONG_TAG},        {72, HR_PY_LONG_DIGITS},     {75, HR_PY_BYTES_VALUE},
    {76, HR_PYS_UNICODE},        {77, HR_PY_UNICODE_STATE},   {78, HR_PY_UNICODE_LENGTH},  {79, HR_PYS_ASCII},
    {81, HR_PY_GC_COLLECTING},   {83, HR_PY_GEN_NAME},        {84, HR_PY_GEN_IFRAME},      {85, HR_PY_GEN_FRAME_STATE},
};
static uint64_t entry(const struct hr_cpython *p, unsigned i)
{
    uint64_t v;
    return hr_image_uint(p->image, p->runtime + 8 + 8ull * i, 8, &v) ? v : UINT64_MAX;
}

static bool is_list(const struct hr_cpython *p, uint64_t at)
{
    uint64_t next = hr_py_word(p, at, HR_PY_GC_NEXT) & ~3ull;
    return next && (hr_py_word(p, next, HR_PY_GC_PREV) & ~3ull) == at;
}

/* Three generations, and the permanent one before the statistics, which lie before the flag `collecting`. */
static void place_generations(struct hr_cpython *p)
{
    int32_t word = p->image->word, each = p->at[HR_PYS_GENERATION], collecting = p->at[HR_PY_GC_COLLECTING];
    p->at[HR_PY_GC_GARBAGE] = collecting + word;
    p->at[HR_PY_GC_CALLBACKS] = collecting + 2 * word;
    uint64_t interp = 0, gc;
    int32_t permanent = collecting - 9 * word - each, young = p->at[HR_PY_GC_GENERATIONS];
    p->at[HR_PY_GC_PERMANENT] = HR_PY_ABSENT;
    if (!hr_image_word(p->image, p->runtime + (uint64_t)p->at[HR_PY_RT_INTERP_HEAD], &interp) || !interp || permanent < young + 3 * each)
        return;
    gc = interp + (uint64_t)p->at[HR_PY_IS_GC];
    if (is_list(p, gc + (uint64_t)permanent))
        p->at[HR_PY_GC_PERMANENT] = permanent;
    if (!is_list(p, gc + (uint64_t)young) || !is_list(p, gc + (uint64_t)(young + each)) || !is_list(p, gc + (uint64_t)(young + 2 * each)))
        p->at[HR_PY_GC_GENERATIONS] = HR_PY_ABSENT;
}

/* p->at holds the table of 3.13, but for the states' members. False when what is published makes no sense. */
bool hr_py_offsets_apply(struct hr_cpython *p)
{
    int32_t word = p->image->word;
    if (!p->runtime || entry(p, 0) != p->hexversion || hr_py_minor(p) != 0x030e)
        return false;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        uint64_t v = entry(p, published[i].at);
        if (v > 1 << 24)
            return false;
        p->at[published[i].fact] = (int32_t)v;
    }
    p->at[HR_PY_IFRAME_STACKTOP] = HR_PY_ABSENT;
    p->at[HR_PYS_HEAPTYPE] += word;
    p->at[HR_PYS_FUNCTION] += word;
    p->at[HR_PY_CODE_FIRSTTRACEABLE] += word;
    place_generations(p);
    return true;
}
