#include "serve/auth.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace glimmer::serve {
namespace {

HttpRequest request_with(HttpHeaders headers) {
  HttpRequest request;
  request.headers = std::move(headers);
  return request;
}

TEST(ApiKeys, KnowsItsKeysByEitherHeader) {
  const ApiKeys keys({"first-key", "second-key"});
  const auto first = keys.identify(request_with({{"authorization", "Bearer first-key"}}));
  const auto second = keys.identify(request_with({{"x-api-key", "second-key"}}));
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(first->find("first"), std::string::npos);
  EXPECT_EQ(keys.identify(request_with({{"authorization", "bearer   first-key "}})), first);
  EXPECT_EQ(keys.identify(request_with({{"authorization", "Bearer wrong-key"}, {"x-api-key", "second-key"}})), second);
}

TEST(ApiKeys, KnowsNoOther) {
  const ApiKeys keys({"first-key"});
  for (const char* value : {"Bearer first-ke", "Bearer first-keyy", "Bearer FIRST-KEY", "first-key", "Bearer",
                            "Bearer ", "Basic first-key", ""}) {
    EXPECT_FALSE(keys.identify(request_with({{"authorization", value}}))) << value;
  }
  EXPECT_FALSE(keys.identify(request_with({})));
  EXPECT_FALSE(keys.identify(request_with({{"x-api-key", ""}})));
}

TEST(ApiKeys, IdsAreTheSameInTheNextProcessAndWithOtherKeys) {
  const HttpRequest request = request_with({{"x-api-key", "first-key"}});
  EXPECT_EQ(ApiKeys({"first-key"}).identify(request), ApiKeys({"other-key", "first-key"}).identify(request));
}

TEST(ApiKeys, RefusesKeysThatAreNone) {
  EXPECT_THROW(ApiKeys({""}), Error);
  EXPECT_THROW(ApiKeys({"1234567"}), Error);
  EXPECT_THROW(ApiKeys({"with a space"}), Error);
  EXPECT_THROW(ApiKeys({"control\x01key"}), Error);
  EXPECT_THROW(ApiKeys({std::string(1025, 'k')}), Error);
  EXPECT_TRUE(ApiKeys({}).none());
}

}  // namespace
}  // namespace glimmer::serve
