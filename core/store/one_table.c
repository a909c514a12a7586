/*
 * one_table.c - a single table of a results file, in milliseconds where the whole file takes a tenth of a second
 *
 * What a killed run left in its journal are records, which make tables of their own: those that were put are in the file or nowhere.
 */
#include "core/base/err.h"
#include "core/store/hdf5_table.h"
#include "core/store/store.h"

int store_read_table(Table **out, const char *path, const char *name)
{
    Table *table;
    TRY(hdf5_read_one(&table, path, name));
    if (table) {
        *out = table;
        return OK;
    }
    Store *store = NULL;                    /* made from records, or the sentence that lists what there is */
    TRY(store_open(&store, path, true));
    const int status = store_get_table(out, store, name);
    store_close(&store);
    return status;
}
