// config.json, that of the chatglm layout too, and JSON itself: any bytes give a ModelConfig whose numbers make sense,
// or an Error.
#include "base/check.h"
#include "base/error.h"
#include "model/config.h"
#include "source/chatglm.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    glimmer::Json json = glimmer::parse_json(text, "fuzz");
    GLIMMER_CHECK(glimmer::parse_json(glimmer::dump_json(json), "again").size() == json.size(),
                  "dump and parse differ");
    if (glimmer::is_chatglm(json)) json = glimmer::glm_config_of(json, "fuzz");
    const glimmer::ModelConfig config = glimmer::parse_config(json, "fuzz");
    GLIMMER_CHECK(config.mlp_layer_types.size() == static_cast<size_t>(config.num_hidden_layers), "layer types");
    GLIMMER_CHECK(config.kv_values_per_token_and_layer() > 0, "kv values");
    GLIMMER_CHECK(config.rope_parameters.rotary_dim <= config.qk_head_dim(), "rotary dim");
  } catch (const glimmer::Error&) {
  }
  return 0;
}
