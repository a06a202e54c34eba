/* A program of somebody else: opens a model file through the installed header and lists it. */
#include <sonde.h>

#include <stdio.h>

static int list(sonde_context *context, sonde_model *model)
{
    for (size_t i = 0; i < sonde_model_count(model); i++) {
        sonde_tensor tensor;
        float numbers[4] = {0, 0, 0, 0};
        if (sonde_model_tensor(model, i, &tensor) != SONDE_OK || tensor.elements > 4 ||
            sonde_model_read(model, i, 0, tensor.elements, SONDE_F32, numbers) != SONDE_OK) {
            fprintf(stderr, "%s\n", sonde_context_error(context)->message);
            return 1;
        }
        printf("%s %s", tensor.name, sonde_number_name(tensor.number));
        for (size_t j = 0; j < tensor.elements; j++)
            printf(" %g", (double)numbers[j]);
        printf("\n");
    }
    return 0;
}

int main(int count, char **arguments)
{
    sonde_context *context = NULL;
    sonde_model *model = NULL;
    if (count != 2 || sonde_context_create(NULL, &context) != SONDE_OK)
        return 2;
    int result = 1;
    if (sonde_model_open(context, arguments[1], NULL, &model) == SONDE_OK)
        result = list(context, model);
    else
        fprintf(stderr, "%s\n", sonde_context_error(context)->message);
    sonde_model_close(model);
    sonde_context_free(context);
    return result;
}
