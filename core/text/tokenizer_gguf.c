#include "core/base/err.h"
#include "core/text/tokenizer_parts.h"

int tokenizer_read_gguf(Tokenizer *t, const char *path)
{
    (void)t;
    FAIL(ERR_UNSUPPORTED, "%s: GGUF vocabularies are not read yet", path);
}
