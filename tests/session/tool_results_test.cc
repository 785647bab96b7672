// Results of parallel calls take the places of their calls.
#include "session/tool_results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Role = ChatMessage::Role;

ChatMessage calls(std::initializer_list<const char*> ids) {
  ChatMessage message;
  message.role = Role::kAssistant;
  for (const char* id : ids) message.tool_calls.push_back({id, "f", Json::object()});
  return message;
}

ChatMessage result(std::string id, std::string content) {
  ChatMessage message;
  message.role = Role::kTool;
  message.tool_call_id = std::move(id);
  message.content = std::move(content);
  return message;
}

ChatMessage said(Role role, std::string content) {
  ChatMessage message;
  message.role = role;
  message.content = std::move(content);
  return message;
}

struct Ordered {
  std::vector<std::string> texts;  // of what is no call
  std::vector<std::string> remarks;
};

Ordered order(std::vector<ChatMessage> messages) {
  Ordered out;
  const size_t count = messages.size();
  out.remarks = order_tool_results(messages);
  EXPECT_EQ(messages.size(), count);
  for (const ChatMessage& message : messages) {
    if (message.tool_calls.empty()) out.texts.push_back(message.content);
  }
  return out;
}

TEST(ToolResults, TakeTheOrderOfTheirCalls) {
  const Ordered got = order({said(Role::kUser, "go"), calls({"a", "b", "c"}), result("c", "3"), result("a", "1"),
                             result("b", "2"), said(Role::kUser, "and?")});
  EXPECT_THAT(got.texts, ElementsAre("go", "1", "2", "3", "and?"));
  EXPECT_THAT(got.remarks, ElementsAre(HasSubstr("order of their calls")));
  EXPECT_THAT(order({calls({"a", "b"}), result("a", "1"), result("b", "2")}).remarks, IsEmpty());
}

TEST(ToolResults, IdsMeanTheNearestTurn) {
  const Ordered got =
      order({calls({"x", "y"}), result("x", "1"), result("y", "2"), calls({"y", "x"}), result("x", "4"),
             result("y", "3"), said(Role::kAssistant, "so"), calls({"x", "y"}), result("y", "6"), result("x", "5")});
  EXPECT_THAT(got.texts, ElementsAre("1", "2", "3", "4", "so", "5", "6"));
}

TEST(ToolResults, ATurnMayBeSeveralMessages) {
  EXPECT_THAT(order({calls({"a"}), calls({"b"}), result("b", "2"), result("a", "1")}).texts, ElementsAre("1", "2"));
  // What a user says between results stays where it is.
  EXPECT_THAT(order({calls({"a", "b"}), result("b", "2"), said(Role::kUser, "hm"), result("a", "1")}).texts,
              ElementsAre("1", "hm", "2"));
}

TEST(ToolResults, StayAsTheyCameWhereIdsDoNotTell) {
  struct Case {
    std::vector<ChatMessage> messages;
    const char* remark;
  };
  const Case cases[] = {
      {{calls({"a", "b"}), result("b", "1"), result("", "2")}, "no id"},
      {{calls({"a", "b"}), result("b", "1"), result("z", "2")}, "no call before has the id \"z\""},
      {{calls({"a", "b"}), result("b", "1"), result("b", "2")}, "two results"},
      {{calls({"a", "b"}), result("b", "1"), result("a", "2"), result("a", "3")}, "two results"},
      {{calls({"a", "a"}), result("a", "1"), result("a", "2")}, "two calls"},
      {{calls({"a"}), result("a", "1"), calls({"b", "c"}), result("a", "2"), result("b", "3")}, "no call"},
      {{said(Role::kUser, "0"), result("b", "1"), result("a", "2")}, "no call"},
  };
  for (const Case& test : cases) {
    const Ordered got = order(test.messages);
    EXPECT_TRUE(std::is_sorted(got.texts.begin(), got.texts.end())) << test.remark;
    EXPECT_THAT(got.remarks, ElementsAre(HasSubstr(test.remark)));
  }
}

TEST(ToolResults, WhoUsesNoIdsMeansTheOrder) {
  const Ordered got = order({calls({"a", "b"}), result("", "1"), result("", "2")});
  EXPECT_THAT(got.texts, ElementsAre("1", "2"));
  EXPECT_THAT(got.remarks, IsEmpty());
  EXPECT_THAT(order({calls({"a"}), result("other", "1")}).remarks, IsEmpty());
}

TEST(ToolResults, MissingOnesAreTold) {
  const Ordered got = order({calls({"a", "b", "c"}), result("c", "3"), result("a", "1")});
  EXPECT_THAT(got.texts, ElementsAre("1", "3"));
  EXPECT_THAT(got.remarks, ElementsAre(HasSubstr("2 for 3 calls")));
}

TEST(ToolResults, RemarksAreBounded) {
  std::vector<ChatMessage> messages;
  for (int i = 0; i < 1000; ++i) {
    messages.push_back(calls({"a", "b"}));
    messages.push_back(result("b", "2"));
    messages.push_back(result("a", "1"));
  }
  EXPECT_LE(order_tool_results(messages).size(), 8u);
  EXPECT_EQ(messages[2999].content, "2");
}

}  // namespace
}  // namespace glimmer
