#include "session/tool_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/quoted_name.h"

namespace glimmer {
namespace {

constexpr size_t kMaxRemarks = 8;

using Role = ChatMessage::Role;

// One turn: the indices of its results, and the positions of its ids among the calls.
struct Turn {
  std::vector<size_t> results;  // indices of messages
  std::map<std::string, size_t> place_of;
  size_t calls = 0;
  bool doubled_call = false;

  void add_calls(const ChatMessage& message) {
    for (const ChatToolCall& call : message.tool_calls) {
      if (!call.id.empty()) doubled_call |= !place_of.emplace(call.id, calls).second;
      ++calls;
    }
  }
};

// Why the results of the turn cannot be told apart by their ids; empty if they can.
std::string what_hinders(const Turn& turn, const std::vector<ChatMessage>& messages) {
  if (turn.doubled_call) return "two calls have one id";
  std::map<std::string, int> seen;
  for (const size_t at : turn.results) {
    const std::string& id = messages[at].tool_call_id;
    if (id.empty()) return "a result has no id";
    if (turn.place_of.find(id) == turn.place_of.end())
      return fmt::format("no call before has the id {}", quoted_name(id));
    if (++seen[id] > 1) return fmt::format("two results have the id {}", quoted_name(id));
  }
  return {};
}

// Returns a remark, or nothing.
std::string order(const Turn& turn, std::vector<ChatMessage>& messages) {
  if (turn.results.empty()) return {};
  const std::string where = fmt::format("results of tools in message {}", turn.results.front());
  if (const std::string hindrance = what_hinders(turn, messages); !hindrance.empty()) {
    // Without ids the order counts; a single result of a single call needs no id.
    const bool no_ids = std::all_of(turn.results.begin(), turn.results.end(),
                                    [&](size_t at) { return messages[at].tool_call_id.empty(); });
    if (no_ids || (turn.calls == 1 && turn.results.size() == 1)) return {};
    return fmt::format("{} stay as they came: {}", where, hindrance);
  }
  const auto place = [&](const ChatMessage& message) { return turn.place_of.at(message.tool_call_id); };
  std::vector<ChatMessage> results;
  for (const size_t at : turn.results) results.push_back(std::move(messages[at]));
  const auto by_place = [&](const ChatMessage& a, const ChatMessage& b) { return place(a) < place(b); };
  const bool moved = !std::is_sorted(results.begin(), results.end(), by_place);
  std::sort(results.begin(), results.end(), by_place);
  for (size_t i = 0; i < results.size(); ++i) messages[turn.results[i]] = std::move(results[i]);
  if (turn.results.size() < turn.calls) {
    return fmt::format("{}: {} for {} calls; models tell them by their order", where, turn.results.size(), turn.calls);
  }
  return moved ? fmt::format("{} are put in the order of their calls", where) : std::string();
}

}  // namespace

std::vector<std::string> order_tool_results(std::vector<ChatMessage>& messages) {
  std::vector<std::string> remarks;
  Turn turn;
  const auto end_turn = [&] {
    std::string remark = order(turn, messages);
    if (!remark.empty() && remarks.size() < kMaxRemarks) remarks.push_back(std::move(remark));
    turn = {};
  };
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == Role::kAssistant) {
      if (!turn.results.empty()) end_turn();  // messages of the assistant that follow each other are one turn
      turn.add_calls(messages[i]);
    } else if (messages[i].role == Role::kTool) {
      turn.results.push_back(i);
    } else if (messages[i].role == Role::kUser && turn.results.empty()) {
      turn = {};  // its calls were never answered
    }
  }
  end_turn();
  return remarks;
}

}  // namespace glimmer
