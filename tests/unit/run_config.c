/* The configuration: options by name, values, checks, JSON. */
#include "check.h"

#include "base/context.h"
#include "run/choice.h"
#include "run/config.h"

static sonde_status set(sonde_context *context, sonde__config *config, const char *name,
                        const char *value)
{
    const sonde__field *field = sonde__config_find(name);
    assert_non_null(field);
    return sonde__config_set(context, config, field, value);
}

static void defaults_pass_the_check(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config;
    sonde__config_init(&config);
    assert_string_equal(config.data, "strokes");
    assert_true(config.skip && !config.stop);
    check_ok(context, sonde__config_check(context, &config));
    sonde_context_free(context);
}

static void fields_are_found_by_their_option_name(void **state)
{
    (void)state;
    const sonde__field *field = sonde__config_find("label-noise");
    assert_non_null(field);
    assert_int_equal(field->type, SONDE__FIELD_REAL);
    assert_int_equal(field->offset, offsetof(sonde__config, label_noise));
    assert_null(sonde__config_find("label_noise"));
    assert_null(sonde__config_find(""));
    assert_int_equal(sonde__config_field(0)->type, SONDE__FIELD_SECTION);
    assert_string_equal(sonde__config_field(0)->help, "Data");
    int count = 0;
    while (sonde__config_field(count))
        count++;
    assert_true(count > 40);
    assert_null(sonde__config_field(-1));
}

static void values_are_read_by_type(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config;
    sonde__config_init(&config);
    check_ok(context, set(context, &config, "epochs", "12"));
    check_ok(context, set(context, &config, "lr", "0.25"));
    check_ok(context, set(context, &config, "model", "mlp:widths=32x16"));
    check_ok(context, set(context, &config, "skip", "off"));
    assert_int_equal(config.epochs, 12);
    check_close(config.lr, 0.25, 0, 0, "lr");
    assert_string_equal(config.model, "mlp:widths=32x16");
    assert_false(config.skip);
    sonde_context_free(context);
}

static void wrong_values_are_refused_and_named(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"epochs", "ten"}, {"epochs", "1.5"}, {"epochs", ""}, {"epochs", "99999999999999999999"},
        {"lr", "fast"},    {"lr", "nan"},     {"lr", "inf"},  {"lr", "0,5"},
        {"skip", "maybe"}, {"model", "a\nb"}, {"skip", ""},
    };
    sonde_context *context = check_context();
    sonde__config config, before;
    sonde__config_init(&config);
    before = config;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        check_status(set(context, &config, wrong[i][0], wrong[i][1]), SONDE_ERROR_ARGUMENT);
        assert_string_equal(sonde_context_error(context)->item, wrong[i][0]);
        assert_memory_equal(&config, &before, sizeof(config));
    }
    char text[600];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    check_status(set(context, &config, "model", text), SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

static void ranges_names_and_combinations_are_checked(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"epochs", "0"},
        {"epochs", "-3"},
        {"batch", "0"},
        {"label-noise", "1"},
        {"momentum", "1"},
        {"dropout", "-0.5"},
        {"optimizer", "lion"},
        {"schedule", "triangle"},
        {"loss", "hinge"},
        {"probe", "held"},
        {"probe", "held:1"},
        {"probe", "held:x"},
        {"probe", "train,train"},
        {"probe", ""},
        {"probe", "train,"},
        {"keep-by", "luck"},
        {"window", "head"},
        {"skip-mode", "fast"},
        {"delta", "-1"},
        {"milestones", "5,3"},
        {"milestones", "a"},
        {"warm-up", "30"},
        {"checkpoint-every", "0"},
        {"anneal", "1.5"},
    };
    sonde_context *context = check_context();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        sonde__config config;
        sonde__config_init(&config);
        check_ok(context, set(context, &config, wrong[i][0], wrong[i][1]));
        sonde_status status = sonde__config_check(context, &config);
        if (status != SONDE_ERROR_RANGE && status != SONDE_ERROR_ARGUMENT)
            fail_msg("--%s %s passes", wrong[i][0], wrong[i][1]);
        assert_string_equal(sonde_context_error(context)->item, wrong[i][0]);
    }
    sonde__config config;
    sonde__config_init(&config);
    check_ok(context, set(context, &config, "loss", "squared"));
    check_ok(context, set(context, &config, "label-smoothing", "0.1"));
    check_status(sonde__config_check(context, &config), SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

static void the_first_probe_decides(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config;
    sonde__choices choices;
    sonde__config_init(&config);
    check_ok(context, set(context, &config, "probe", "held:64,train,augmented"));
    check_ok(context, sonde__choices_read(context, &config, &choices));
    assert_int_equal(choices.probe_count, 3);
    assert_int_equal(choices.probes[0], SONDE_PROBE_HELD);
    assert_int_equal(choices.probes[2], SONDE_PROBE_AUGMENTED);
    assert_int_equal(choices.held, 64);
    sonde_context_free(context);
}

static void defaults_depend_on_the_optimizer_and_length(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config;
    sonde__choices choices;
    sonde__config_init(&config);
    config.epochs = 40;
    check_ok(context, sonde__choices_read(context, &config, &choices));
    check_close(choices.learning_rate, 0.05, 0, 0, "sgd");
    assert_int_equal(choices.milestones[0], 20);
    assert_int_equal(choices.milestones[1], 30);
    check_ok(context, set(context, &config, "optimizer", "adamw"));
    check_ok(context, sonde__choices_read(context, &config, &choices));
    check_close(choices.learning_rate, 0.001, 0, 0, "adamw");
    sonde_context_free(context);
}

static void json_keeps_every_field(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config, read;
    char *json;
    sonde__config_init(&config);
    config.lr = 0.1 + 1e-17;
    config.weight_decay = 1.0 / 3;
    config.seed = INT64_C(9007199254740993);
    config.stop = true;
    snprintf(config.data_dir, sizeof(config.data_dir), "a \"quoted\" \\ f\xc3\xa4hre");
    check_ok(context, sonde__config_to_json(context, &config, &json));
    check_ok(context, sonde__config_from_json(context, json, &read));
    assert_memory_equal(&config, &read, sizeof(config));
    sonde__free(context, json);
    sonde_context_free(context);
}

static void json_of_other_versions_is_read(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config;
    check_ok(context,
             sonde__config_from_json(context, "{\"epochs\": 7, \"future\": [1]}", &config));
    assert_int_equal(config.epochs, 7);
    assert_int_equal(config.batch, 128);
    static const char *const broken[] = {"",
                                         "[]",
                                         "{\"epochs\": \"7\"}",
                                         "{\"epochs\": 7",
                                         "7",
                                         "{\"skip\": 1}",
                                         "{\"epochs\": 1, \"epochs\": 2}"};
    sonde__config before = config;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        check_status(sonde__config_from_json(context, broken[i], &config), SONDE_ERROR_FORMAT);
        assert_memory_equal(&config, &before, sizeof(config));
    }
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_pass_the_check),
        cmocka_unit_test(fields_are_found_by_their_option_name),
        cmocka_unit_test(values_are_read_by_type),
        cmocka_unit_test(wrong_values_are_refused_and_named),
        cmocka_unit_test(ranges_names_and_combinations_are_checked),
        cmocka_unit_test(the_first_probe_decides),
        cmocka_unit_test(defaults_depend_on_the_optimizer_and_length),
        cmocka_unit_test(json_keeps_every_field),
        cmocka_unit_test(json_of_other_versions_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
