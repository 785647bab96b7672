// Sorts tool results into the order of their calls.
#pragma once

#include <string>
#include <vector>

#include "session/conversation.h"

namespace glimmer {

// GLM's templates write no ids: to the model the n-th result is the n-th call's. Clients that run calls in parallel
// send results as they come, so within each turn (from an assistant's calls to the next assistant's message) results
// take their places in the order of the calls that their ids name. Ids may be used again in later turns. Where ids do
// not tell (absent, of no call of the turn, used twice by calls or by results), the turn's results stay as they came.
// No message is lost or added. Gives remarks for the log on turns that were put in order or could not be, and on calls
// without a result among others that have one.
std::vector<std::string> order_tool_results(std::vector<ChatMessage>& messages);

}  // namespace glimmer
