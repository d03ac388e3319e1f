/* Fuel: every loop whose count comes from the input burns it, so no input can make us run without end.
 *
 *     struct hr_fuel f = hr_fuel(bytes_of_input * 64 + 1000000);
 *     while (next) { if (!hr_burn(&f, 1)) return HR_LIMIT; ... } */
#ifndef HR_BASE_FUEL_H
#define HR_BASE_FUEL_H

#include "analyzer/base/status.h"

struct hr_fuel {
    uint64_t left;
};
static inline struct hr_fuel hr_fuel(uint64_t units) { return (struct hr_fuel){units}; }
static inline bool hr_burn(struct hr_fuel *f, uint64_t units)
{
    if (f->left < units) {
        f->left = 0;
        return false;
    }
    f->left -= units;
    return true;
}

#endif
