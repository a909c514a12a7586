#include "core/grid/data.h"

#include <stddef.h>

/* Every file of core/grid/data: X(p, n). */
#define GRID_LIST(X)                                                                \
    X(2, 16) X(2, 32) X(2, 64) X(2, 88) X(2, 128) X(2, 256)                         \
    X(3, 64) X(3, 256) X(3, 512) X(3, 830) X(3, 4096)                               \
    X(4, 256) X(4, 1024) X(4, 4096) X(4, 7800)                                      \
    X(5, 1024)

/* A length that does not fit is found by the assembler. */
#define X(p, n)                                                                     \
    extern const float grid_##p##_##n[];                                            \
    __asm__(".pushsection .rodata, \"a\"\n"                                         \
            ".balign 64\n"                                                          \
            ".globl grid_" #p "_" #n "\n"                                           \
            ".hidden grid_" #p "_" #n "\n"                                          \
            "grid_" #p "_" #n ":\n"                                                 \
            ".incbin \"core/grid/data/p" #p "n" #n ".f32\"\n"                       \
            ".if . - grid_" #p "_" #n " - 4 * " #p " * " #n "\n"                    \
            ".error \"core/grid/data/p" #p "n" #n ".f32 has the wrong length\"\n"   \
            ".endif\n"                                                              \
            ".popsection\n");
GRID_LIST(X)
#undef X

__asm__(".pushsection .rodata, \"a\"\n"
        ".globl grid_data_csv\n"
        ".hidden grid_data_csv\n"
        "grid_data_csv:\n"
        ".incbin \"core/grid/data/grids.csv\"\n"
        ".byte 0\n"
        ".popsection\n");

#define X(p, n) { p, n, grid_##p##_##n },
const GridData grid_data[] = { GRID_LIST(X) { 0, 0, NULL } };
