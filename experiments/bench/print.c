#include <stdio.h>
#include <string.h>

#include "core/store/table.h"
#include "experiments/bench/bench.h"

static void print_timing(const char *what, const Timing *t) { printf("%-12s %.4g s (%.4g to %.4g, %d times)", what, t->median, t->least, t->most, t->n); }

/* The nearest ceiling: what its arithmetic or its bytes would take at the measured rates. */
static double share(const Bench *b, const OperationTime *o)
{
    const double products = !strncmp(o->name, "product", 7) || strstr(o->name, "attention") ? o->flops / b->product_rate : 0, bytes = o->bytes / b->copy_rate;
    return (products > bytes ? products : bytes) / o->seconds;
}

static void print_operations(const Bench *b, const char *pass, const OperationTime *operation, int n)
{
    double all = 0;
    for (int i = 0; i < n; i++) all += operation[i].seconds;
    if (n) printf("\n%-44s %6s %10s %6s %9s %7s %8s\n", pass, "calls", "seconds", "share", "TFLOP/s", "GB/s", "ceiling");
    for (int i = 0; i < n; i++) {
        const OperationTime *o = &operation[i];
        printf("%-44s %6lld %10.3g %5.1f%% %9.4g %7.4g", o->name, (long long)o->calls, o->seconds, 100 * o->seconds / all, o->flops / o->seconds * 1e-12,
               o->bytes / o->seconds * 1e-9);
        if (o->flops + o->bytes > 0) printf(" %7.0f%%", 100 * share(b, o));
        putchar('\n');
    }
}

void bench_print(const Bench *b)
{
    const Corpus *c = b->corpus;
    const double rate = b->forward_flops / b->forward.median, tokens = (double)c->n_inputs;
    printf("%s: back end %s, %s", model_path(b->model), b->kernels->name, b->kernels->precision);
    if (b->kernels->device) printf(" on %s", b->kernels->device);
    printf("; %d windows of %d tokens\n", c->n_windows, c->context);
    printf("ceilings     %.4g TFLOP/s in one large product, %.4g GB/s in one large copy\n", b->product_rate * 1e-12, b->copy_rate * 1e-9);
    printf("weights      %.3g s to the back end\n", b->open_seconds);
    print_timing("embeddings", &b->embed);
    putchar('\n');
    print_timing("forward", &b->forward);
    printf("   %.5g tokens/s   %.4g TFLOP/s   %.1f%% of the product's rate\n", tokens / b->forward.median, rate * 1e-12, 100 * rate / b->product_rate);
    if (b->kl.n) {
        print_timing("KL", &b->kl);
        printf("   one layer in the middle, %.2f of a forward pass\n", b->kl_cost);
        print_timing("Fisher", &b->fisher);
        printf("   all layers, one probe, %.3g forward passes\n", b->fisher.median / b->forward.median);
        printf("sweep        %.3g h for %d measurements (every layer, three levels), by the time of one\n",
               b->sweep_passes * b->kl.median / b->kl_cost / 3600, b->sweep_measurements);
    }
    print_operations(b, "operations of a forward pass", b->operation, b->n_operations);
    print_operations(b, "operations of a Fisher pass", b->fisher_operation, b->n_fisher_operations);
}

static void json_timing(const char *name, const Timing *t)
{
    printf(",\"%s\":{\"median\":", name);
    json_number(stdout, t->median);
    fputs(",\"least\":", stdout);
    json_number(stdout, t->least);
    fputs(",\"most\":", stdout);
    json_number(stdout, t->most);
    printf(",\"n\":%d}", t->n);
}

static void json_value(const char *name, double value)
{
    printf(",\"%s\":", name);
    json_number(stdout, value);
}

static void json_operations(const char *name, const OperationTime *operation, int n)
{
    printf(",\"%s\":[", name);
    for (int i = 0; i < n; i++) {
        fputs(i ? ",{\"name\":" : "{\"name\":", stdout);
        json_text(stdout, operation[i].name);
        printf(",\"calls\":%lld", (long long)operation[i].calls);
        json_value("seconds", operation[i].seconds);
        json_value("flops", operation[i].flops);
        json_value("bytes", operation[i].bytes);
        putchar('}');
    }
    putchar(']');
}

void bench_print_json(const Bench *b)
{
    fputs("{\"model\":", stdout);
    json_text(stdout, model_path(b->model));
    if (b->kernels->device) {
        fputs(",\"device\":", stdout);
        json_text(stdout, b->kernels->device);
    }
    printf(",\"backend\":\"%s\",\"precision\":\"%s\",\"windows\":%d,\"context\":%d,\"tokens\":%lld", b->kernels->name, b->kernels->precision,
           b->corpus->n_windows, b->corpus->context, (long long)b->corpus->n_inputs);
    json_value("product_flops_per_second", b->product_rate);
    json_value("copy_bytes_per_second", b->copy_rate);
    json_value("open_seconds", b->open_seconds);
    json_timing("embed", &b->embed);
    json_timing("forward", &b->forward);
    json_value("forward_flops", b->forward_flops);
    json_value("share_of_product_rate", b->forward_flops / b->forward.median / b->product_rate);
    if (b->kl.n) {
        json_timing("kl", &b->kl);
        json_value("kl_forward_passes", b->kl_cost);
        json_timing("fisher", &b->fisher);
        json_value("sweep_seconds", b->sweep_passes * b->kl.median / b->kl_cost);
        printf(",\"sweep_measurements\":%d", b->sweep_measurements);
    }
    json_operations("operations", b->operation, b->n_operations);
    json_operations("fisher_operations", b->fisher_operation, b->n_fisher_operations);
    puts("}");
}
