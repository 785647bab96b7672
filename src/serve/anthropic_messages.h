// POST /v1/messages and /v1/messages/count_tokens. Source: Anthropic's API reference and the types of its SDK.
#pragma once

#include "serve/event_writer.h"
#include "serve/exchange.h"
#include "serve/openai_format.h"

namespace glimmer::serve {

void anthropic_messages(Service& service, std::shared_ptr<Exchange> exchange);
void anthropic_count_tokens(Service& service, std::shared_ptr<Exchange> exchange);

struct MessageFormatOptions {
  bool omit_thinking = false;
};
std::unique_ptr<EventWriter> message_stream(const AnswerIdentity& identity, const MessageFormatOptions& options);
Json message_object(const AnswerIdentity& identity, const MessageFormatOptions& options, const Answer& answer,
                    const AnswerUsage& usage);

extern const std::string_view kAnthropicPing;  // the heartbeat of its streams

Json message_request_schema();
Json message_response_schema();
Json count_tokens_request_schema();
Json count_tokens_response_schema();

}  // namespace glimmer::serve
