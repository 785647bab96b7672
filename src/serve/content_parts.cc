#include "serve/content_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quoted_name.h"

namespace glimmer::serve {
namespace {

enum class PartKind { kText, kReasoning, kHidden, kMedia, kFile, kSearchResult };

struct PartType {
  std::string_view type;
  PartKind kind;
  std::string_view what;  // of text: the field that has it; of media: what it is
};

constexpr PartType kPartTypes[] = {
    {"text", PartKind::kText, "text"},
    {"input_text", PartKind::kText, "text"},
    {"output_text", PartKind::kText, "text"},
    {"summary_text", PartKind::kText, "text"},
    {"refusal", PartKind::kText, "refusal"},
    {"thinking", PartKind::kReasoning, "thinking"},
    {"reasoning", PartKind::kReasoning, "reasoning"},
    {"reasoning_text", PartKind::kReasoning, "text"},
    {"redacted_thinking", PartKind::kHidden, "redacted thinking"},
    {"redacted_reasoning", PartKind::kHidden, "redacted reasoning"},
    {"image", PartKind::kMedia, "image"},
    {"image_url", PartKind::kMedia, "image"},
    {"input_image", PartKind::kMedia, "image"},
    {"output_image", PartKind::kMedia, "image"},
    {"image_file", PartKind::kMedia, "image"},
    {"computer_screenshot", PartKind::kMedia, "image"},
    {"input_audio", PartKind::kMedia, "audio"},
    {"output_audio", PartKind::kMedia, "audio"},
    {"audio", PartKind::kMedia, "audio"},
    {"audio_url", PartKind::kMedia, "audio"},
    {"video", PartKind::kMedia, "video"},
    {"video_url", PartKind::kMedia, "video"},
    {"input_video", PartKind::kMedia, "video"},
    {"document", PartKind::kFile, "document"},
    {"document_url", PartKind::kFile, "document"},
    {"file", PartKind::kFile, "file"},
    {"file_url", PartKind::kFile, "file"},
    {"input_file", PartKind::kFile, "file"},
    {"container_upload", PartKind::kFile, "file"},
    {"search_result", PartKind::kSearchResult, ""},
};

const PartType* find_type(std::string_view type) {
  const auto* found = std::find_if(std::begin(kPartTypes), std::end(kPartTypes),
                                   [&](const PartType& known) { return known.type == type; });
  return found == std::end(kPartTypes) ? nullptr : found;
}

const FieldTable& type_table() {
  static const FieldTable table = {{.name = "type", .required = true}};
  return table;
}

// Fields of text and reasoning parts.
const FieldTable& text_table() {
  static const FieldTable table = {
      {.name = "type", .required = true},
      {"text", kTextField},
      {"refusal", kTextField},
      {"thinking", kTextField | kListField},
      {"reasoning", kTextField | kListField},
      {"summary", kTextField | kListField},
      {"content", kTextField | kListField},
      {"id", kTextField},
      {"signature", kTextField},
      {"encrypted_content", kTextField},
      {"cache_control", kObjectField},
      {"prompt_cache_breakpoint", kObjectField},
      {"citations", kListField | kObjectField},
      {"annotations", kListField},
      {"logprobs", kListField},
  };
  return table;
}

// A string member; empty if it is none.
std::string text_member(const Json& object, std::string_view name) {
  if (!object.is_object()) return {};
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Reasoning: a string, or a list of parts with texts.
std::string joined_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  std::string out;
  if (!value.is_array()) return out;
  for (const Json& part : value) out += part.is_string() ? part.get<std::string>() : text_member(part, "text");
  return out;
}

// Reads the parts of one message's content.
class PartReader {
 public:
  PartReader(const ContentRules& rules, SchemaContext& context) : rules_(rules), context_(context) {}

  void read(const Json& part, const std::string& path) {
    if (part.is_string()) return append(part.get<std::string>());
    const Fields fields(part, path, type_table(), nullptr);
    const std::string type = *fields.text("type");
    const PartType* known = find_type(type);
    if (known == nullptr) return read_unknown(type, path);
    switch (known->kind) {
      case PartKind::kText:
        return append(text_of(part, path, known->what));
      case PartKind::kReasoning:
        return read_reasoning(part, path);
      case PartKind::kHidden:
        return context_.leave_out(path, known->what);
      case PartKind::kMedia:
        return leave_out_media(path, std::string(known->what));
      case PartKind::kFile:
        return read_file(part, path, known->what);
      case PartKind::kSearchResult:
        return read_search_result(part, path);
    }
  }

  ContentText take() { return std::move(out_); }

 private:
  void append(const std::string& text) {
    append_text(out_.text, text, std::exchange(next_separator_, rules_.separator));
  }

  // On lines of its own.
  void append_block(const std::string& text) {
    append_text(out_.text, text, "\n");
    next_separator_ = "\n";
  }

  // Of clients' parts, null is an empty text as it is in content.
  std::string text_of(const Json& part, const std::string& path, std::string_view field) {
    const Fields fields(part, path, text_table(), &context_.remarks);
    if (!part.contains(field)) fields.fail_at(field, "is missing");
    return fields.text(field).value_or("");
  }

  void read_reasoning(const Json& part, const std::string& path) {
    const Fields fields(part, path, text_table(), &context_.remarks);
    for (const char* name : {"thinking", "reasoning", "text", "content", "summary"}) {
      const Json* value = fields.find(name);
      if (value == nullptr) continue;
      out_.reasoning = out_.reasoning.value_or("") + joined_text(*value);
      return;
    }
    context_.leave_out(path, "reasoning without a text");
  }

  void read_file(const Json& part, const std::string& path, std::string_view what) {
    const Json& inner = part.contains("file") ? part["file"] : part;
    std::string name = text_member(inner, "filename");
    if (name.empty()) name = text_member(part, "title");
    const auto source = part.find("source");
    const std::string kind = source == part.end() ? "" : text_member(*source, "type");
    if (kind == "text" || kind == "content") {
      const char* field = kind == "text" ? "data" : "content";
      const auto content = source->find(field);
      if (content == source->end() || !(content->is_string() || content->is_array())) {
        bad_field(path + ".source." + field, "expected a string or a list of blocks");
      }
      std::string text = name;
      ContentText read = read_content(&*content, path + ".source." + field, rules_, context_);
      append_text(text, read.text, "\n");
      return append_block(text);
    }
    leave_out_media(path, name.empty() ? std::string(what) : fmt::format("{} {}", what, quoted_name(name)));
  }

  void read_search_result(const Json& part, const std::string& path) {
    std::string text = text_member(part, "title");
    append_text(text, text_member(part, "source"), "\n");
    if (const auto content = part.find("content"); content != part.end()) {
      append_text(text, read_content(&*content, path + ".content", rules_, context_).text, "\n");
    }
    append_block(text);
  }

  void leave_out_media(const std::string& path, const std::string& what) {
    if (context_.limits.media == MediaPolicy::kRefuse) {
      bad_field(path, fmt::format("{} is not supported: the model reads text only", what));
    }
    context_.leave_out(path, what);
    append_block(left_out_note(what));
  }

  void read_unknown(const std::string& type, const std::string& path) {
    if (rules_.unknown == UnknownParts::kRefuse) {
      bad_field(path, fmt::format("content of type {} is not known here", quoted_name(type)));
    }
    const std::string what = "content of type " + quoted_name(type);
    context_.leave_out(path, what);
    append_block(left_out_note(what));
  }

  const ContentRules& rules_;
  SchemaContext& context_;
  ContentText out_;
  std::string_view next_separator_;
};

}  // namespace

ContentText read_content(const Json* content, const std::string& path, const ContentRules& rules,
                         SchemaContext& context) {
  if (content == nullptr || content->is_null()) return {};
  if (content->is_string()) return {content->get<std::string>(), std::nullopt};
  if (!content->is_array()) {
    bad_field(path, fmt::format("expected a string or a list, found {}", json_type_name(*content)));
  }
  PartReader reader(rules, context);
  for (size_t i = 0; i < content->size(); ++i) reader.read((*content)[i], element_path(path, i));
  return reader.take();
}

ContentText read_content_part(const Json& part, const std::string& path, const ContentRules& rules,
                              SchemaContext& context) {
  PartReader reader(rules, context);
  reader.read(part, path);
  return reader.take();
}

bool is_text_part(std::string_view type) {
  const PartType* known = find_type(type);
  return known != nullptr &&
         (known->kind == PartKind::kText || known->kind == PartKind::kReasoning || known->kind == PartKind::kHidden);
}

void append_text(std::string& text, std::string_view more, std::string_view separator) {
  if (!text.empty() && !more.empty() && !text.ends_with('\n')) text += separator;
  text += more;
}

std::string left_out_note(std::string_view what) {
  return fmt::format("[{} left out: the model reads text only]", what);
}

}  // namespace glimmer::serve
