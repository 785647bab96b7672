#include "serve/served_model.h"

#include <algorithm>

#include "serve/api_error.h"
#include "session/random_id.h"

namespace glimmer::serve {

PreparedPrompt ServedModel::prepare(const Chat& chat) const {
  if (!chat_template()) throw ApiError(400, "the model has no chat template: it answers /v1/completions only");
  return parts_.chat.prepare(chat);
}

PreparedPrompt ServedModel::prepare(const RawPrompt& prompt, const std::string& suffix) const {
  if (!suffix.empty() && !parts_.chat.fills_gaps()) {
    ApiError error(400, "suffix: is not supported: the model's tokenizer has no tokens for a gap, as <|code_middle|>");
    error.param = "suffix";
    throw error;
  }
  return parts_.chat.prepare(prompt, suffix);
}

SamplingParams ServedModel::sampling(const SamplingRequest& request, int64_t index) const {
  SamplingParams params = resolve_sampling(request, parts_.sampling, random_seed());
  params.top_p = std::max(params.top_p, 1e-9);  // the sampler requires top_p above 0
  if (request.seed) params.seed += static_cast<uint64_t>(index);
  return params;
}

}  // namespace glimmer::serve
