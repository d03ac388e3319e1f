#include <string.h>

#include "rules/engine/packs.h"
#include "rules/engine/rules.h"

size_t hr_rules_builtin(size_t i, const char **name_ret, const char **text_ret)
{
    for (size_t k = 0; k <= i; k++)
        if (!hr_packs[k].name)
            return 0;
    *name_ret = hr_packs[i].name;
    *text_ret = hr_packs[i].text;
    return strlen(*text_ret);
}
