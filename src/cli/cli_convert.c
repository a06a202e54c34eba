/* `sonde convert`: a model into one safetensors file, so that the pickle can be thrown away. */
#include "cli/verb.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/paper.h"

/* The output's name says its format, and nothing that exists is replaced unasked. */
static int check_output(const sonde__call *call)
{
    static const char ending[] = ".safetensors";
    struct stat from, to;
    const char *output = call->positionals[1];
    const size_t length = strlen(output), wanted = sizeof ending - 1;
    if (length <= wanted || strcmp(output + length - wanted, ending) != 0)
        return sonde__cli_usage("%s: what is written is a safetensors file; name it "
                                "NAME.safetensors",
                                output);
    if (stat(output, &to) != 0)
        return SONDE__EXIT_DONE;
    if (stat(call->positionals[0], &from) == 0 && from.st_dev == to.st_dev &&
        from.st_ino == to.st_ino)
        return sonde__cli_usage("%s is the input itself; name another file", output);
    if (!call->values.force)
        return sonde__cli_usage("%s exists; name another file, or replace it with --force", output);
    return SONDE__EXIT_DONE;
}

/* Tensors that the safetensors file holds as other numbers than the input. */
static size_t widened(const sonde_model *model)
{
    size_t count = 0;
    for (size_t i = 0; i < sonde_model_count(model); i++) {
        sonde_tensor tensor;
        if (sonde_model_tensor(model, i, &tensor) == SONDE_OK)
            count += !tensor.tied_to && (tensor.number >= SONDE_NUMBER_Q4_0 || tensor.scale);
    }
    return count;
}

static sonde_status tell_json(const sonde__call *call, const sonde_model_info *info, uint64_t bytes,
                              size_t as_f32)
{
    sonde__json_out json;
    sonde__out_begin(&json, call->context, stdout);
    sonde__out_open(&json, NULL, '{');
    sonde__out_string(&json, "input", call->positionals[0]);
    sonde__out_string(&json, "output", call->positionals[1]);
    sonde__out_count(&json, "tensors", info->tensors - info->tied);
    sonde__out_count(&json, "tied", info->tied);
    sonde__out_count(&json, "as_f32", as_f32);
    sonde__out_count(&json, "bytes", bytes);
    sonde__out_close(&json, '}');
    return sonde__out_end(&json);
}

static sonde_status tell(const sonde__call *call, const sonde_model *model)
{
    struct stat facts = {0};
    char size[32], tied[96] = "", wide[96] = "", line[2048];
    sonde_model_info info;
    const sonde__paper paper = sonde__paper_of(stdout);
    const size_t as_f32 = widened(model);
    sonde_model_describe(model, &info);
    const uint64_t bytes = stat(call->positionals[1], &facts) == 0 ? (uint64_t)facts.st_size : 0;
    if (call->values.json)
        return tell_json(call, &info, bytes, as_f32);
    if (call->values.quiet)
        return SONDE_OK;
    sonde__words_bytes(bytes, size, sizeof size);
    if (info.tied)
        snprintf(tied, sizeof tied, "; %zu tied one%s noted in its metadata", info.tied,
                 info.tied == 1 ? "" : "s");
    if (as_f32)
        snprintf(wide, sizeof wide, "; %zu quantised or scaled one%s as F32", as_f32,
                 as_f32 == 1 ? "" : "s");
    snprintf(line, sizeof line, "%s: %zu tensor%s, %s%s%s. `sonde diff` compares the two.",
             call->positionals[1], info.tensors - info.tied,
             info.tensors - info.tied == 1 ? "" : "s", size, tied, wide);
    sonde__paper_wrapped(&paper, line, 0);
    return SONDE_OK;
}

static int run_convert(sonde__call *call)
{
    sonde_model *model = NULL;
    int exit_status = check_output(call);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    sonde__interrupt_install();
    sonde__interrupt_cancels(call->context);
    sonde_status status = sonde_model_open(call->context, call->positionals[0], NULL, &model);
    if (status == SONDE_OK)
        status = sonde_model_convert(model, call->positionals[1]);
    if (status == SONDE_OK)
        status = tell(call, model);
    if (status != SONDE_OK)
        exit_status = sonde__cli_fail(call->context);
    if (status == SONDE_ERROR_CANCELLED && sonde__interrupt_signal())
        exit_status = 128 + sonde__interrupt_signal();
    sonde__interrupt_cancels(NULL);
    sonde_model_close(model);
    return exit_status;
}

static const sonde__option options[] = {
    {SONDE__OPTION_FLAG, "force", 'f', "", "replace the output when it exists",
     offsetof(sonde__values, force)},
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE", "keep within this much memory, as 512M or 2G",
     offsetof(sonde__values, memory)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print one JSON object", offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "print nothing", offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_convert = {
    .name = "convert",
    .summary = "writes any model file as safetensors, which holds numbers and nothing else",
    .usage = "convert IN OUT.safetensors [OPTIONS]",
    .examples = "    sonde convert pytorch_model.bin model.safetensors\n"
                "    sonde convert model.safetensors.index.json whole.safetensors\n"
                "    sonde convert model-q4_k.gguf model.safetensors   dequantised, as F32\n",
    .about =
        "Plain number formats are kept bit by bit; quantised blocks and scaled f8 become F32.\n"
        "Tied tensors are written once. The output is there as a whole or not at all.\n"
        "What a checkpoint holds beside tensors (epoch, optimizer settings) is not carried "
        "over;\n"
        "the optimizer's tensors are.\n",
    .options = options,
    .positional = "IN and OUT.safetensors",
    .least = 2,
    .most = 2,
    .run = run_convert,
};
