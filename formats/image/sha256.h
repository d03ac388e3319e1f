/* SHA-256 (FIPS 180-4) of bytes in memory: dumps of ESP-IDF end in one, and name their program by another. */
#ifndef HR_FORMATS_SHA256_H
#define HR_FORMATS_SHA256_H

#include "analyzer/base/cursor.h"

void hr_sha256(struct hr_span s, uint8_t ret[32]);

#endif
