/*
 * onig_pattern.h - rewrite a regular expression in Oniguruma's Ruby syntax for PCRE2 with UTF and UCP
 */
#ifndef CORE_TEXT_ONIG_PATTERN_H
#define CORE_TEXT_ONIG_PATTERN_H

#include "core/text/bytes.h"

/* Appends the expression that means the same to PCRE2.  ERR_UNSUPPORTED, naming the construct, where
 * the two read it differently and tokenizers in use do not need it. */
int onig_translate(Bytes *out, const char *pattern, size_t n);

#endif
