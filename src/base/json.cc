#include "base/json.h"

#include <string>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/quoted_name.h"
#include "base/utf8.h"

namespace glimmer {
namespace {

// Builds the value while it bounds the depth and refuses duplicate keys (the library would keep the last in silence).
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(std::string_view source) : source_(source) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }

  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (!stack_.back().keys.insert(name).second) {
      fail(ErrorCode::kInvalid, "{}: key {} appears twice in one object", source_, quoted_name(name));
    }
    stack_.back().key = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    std::string_view what = error.what();
    if (const size_t colon = what.rfind(": "); colon != std::string_view::npos) what.remove_prefix(colon + 2);
    fail(ErrorCode::kInvalid, "{}: malformed JSON at byte {}: {}", source_, position, to_valid_utf8(what));
  }

  Json take() { return std::move(root_); }

 private:
  struct Open {
    Json value;
    std::string key;                       // where the next member goes, if an object
    std::unordered_set<std::string> keys;  // members so far, if an object
  };

  bool open(Json container) {
    if (stack_.size() >= static_cast<size_t>(kMaxJsonDepth)) {
      fail(ErrorCode::kLimit, "{}: JSON nested deeper than {}", source_, kMaxJsonDepth);
    }
    stack_.push_back({std::move(container), {}, {}});
    return true;
  }

  bool close() {
    Json done = std::move(stack_.back().value);
    stack_.pop_back();
    return put(std::move(done));
  }

  bool put(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (stack_.back().value.is_array()) {
      stack_.back().value.push_back(std::move(value));
    } else {
      // emplace_back on the ordered map's vector base: the key is known to be new, so its linear search is not needed.
      auto& object = stack_.back().value.get_ref<Json::object_t&>();
      static_cast<std::vector<Json::object_t::value_type>&>(object).emplace_back(std::move(stack_.back().key),
                                                                                 std::move(value));
    }
    return true;
  }

  std::string_view source_;
  Json root_;
  std::vector<Open> stack_;
};

}  // namespace

Json parse_json(std::string_view text, std::string_view source) {
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {  // the library would stop there in silence
    fail(ErrorCode::kInvalid, "{}: malformed JSON at byte {}: a NUL byte", source, nul);
  }
  Builder builder(source);
  Json::sax_parse(text, &builder);
  return builder.take();
}

std::string dump_json(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace glimmer
