// The model as the APIs see it, with the demo model's files.
#include "serve/served_model.h"

#include <gmock/gmock.h>

#include "serve/api_error.h"
#include "serve/demo_model.h"
#include "text/tokenizer_fixture.h"

namespace glimmer::serve {
namespace {

TEST(ServedModel, SamplesAsTheModelFolderAndTheRequestSay) {
  SamplingRequest request;
  EXPECT_EQ(demo_model().sampling(request, 0).temperature, 0);  // its do_sample is false
  request.top_p = 0.5;
  EXPECT_EQ(demo_model().sampling(request, 0).temperature, 1);
  request.temperature = 0.7;
  request.top_p = 0;
  request.seed = 40;
  const SamplingParams params = demo_model().sampling(request, 2);
  EXPECT_EQ(params.temperature, 0.7);
  EXPECT_EQ(params.seed, 42u);
  EXPECT_NO_THROW(validate(params, demo_model().vocab_size()));
  request.seed.reset();
  EXPECT_NE(demo_model().sampling(request, 0).seed, demo_model().sampling(request, 0).seed);
}

TEST(ServedModel, NamesTheFieldThatItCannotServe) {
  ServedModel::Parts parts{.id = "m", .chat = ChatModel({.tokenizer = base_tokenizer()})};
  const ServedModel model(std::move(parts));
  EXPECT_THROW(model.prepare(Chat{}), ApiError);  // no template
  try {
    model.prepare(RawPrompt("a"), "b");
    ADD_FAILURE() << "this tokenizer has no tokens for a gap";
  } catch (const ApiError& error) {
    EXPECT_EQ(error.param, "suffix");
    EXPECT_EQ(error.status, 400);
  }
}

}  // namespace
}  // namespace glimmer::serve
