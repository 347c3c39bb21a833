#include "workflow/json_document.hpp"

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/defaults.hpp"

namespace trireme::workflow {
namespace {

using Json = nlohmann::json;

/// Builds the tree while nlohmann's reader goes through the text. Pointers to open nodes stay valid: a list or map only grows
/// while none of its children is open.
class JsonBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit JsonBuilder(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  std::optional<Node> take() { return failed_ ? std::nullopt : std::optional(std::move(root_)); }

  bool null() override { return put({}); }
  bool boolean(bool value) override { return scalar(value ? "true" : "false", false); }
  bool number_integer(number_integer_t value) override { return scalar(std::to_string(value), false); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(std::to_string(value), false); }
  bool number_float(number_float_t, const string_t& text) override { return scalar(text, false); }
  bool string(string_t& text) override { return scalar(std::move(text), true); }
  bool binary(binary_t&) override { return fail("there are bytes that are no JSON"); }
  bool start_object(std::size_t) override { return open(Node::Kind::map); }
  bool start_array(std::size_t) override { return open(Node::Kind::list); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& key) override {
    Level& level = open_.back();
    if (!level.keys.insert(key).second) return fail("the key " + in_quotes(key) + " is there twice");
    level.node->entries.push_back({.key = std::move(key), .key_at = {}, .value = {}});
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return fail("this is no JSON: see byte " + std::to_string(position));
  }

 private:
  struct Level {
    Node* node = nullptr;
    std::unordered_set<std::string> keys;
  };

  bool fail(std::string what) {
    if (!std::exchange(failed_, true)) diagnostics_.error({}, "", std::move(what));
    return false;
  }
  bool scalar(std::string text, bool quoted) {
    Node node;
    node.kind = Node::Kind::scalar;
    node.quoted = quoted;
    node.text = std::move(text);
    return put(std::move(node));
  }
  bool put(Node node) {
    place() = std::move(node);
    return true;
  }
  /// Where the next value goes.
  Node& place() {
    if (open_.empty()) return root_;
    Node& parent = *open_.back().node;
    if (parent.is_map()) return parent.entries.back().value;
    return parent.items.emplace_back();
  }
  bool open(Node::Kind kind) {
    if (open_.size() >= defaults::workflow_depth) {
      return fail("lists and maps lie more than " + std::to_string(defaults::workflow_depth) + " deep in each other");
    }
    Node& node = place();
    node.kind = kind;
    open_.push_back({&node, {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Diagnostics& diagnostics_;
  Node root_;
  std::vector<Level> open_;
  bool failed_ = false;
};

/// Whether JSON would read an unquoted text as something else than text.
bool is_plain_json(const std::string& text) {
  if (text == "true" || text == "false" || text == "null") return true;
  const bool may_be_number = !text.empty() && (text.front() == '-' || (text.front() >= '0' && text.front() <= '9'));
  return may_be_number && Json::accept(text);
}

void write(const Node& node, std::string& out) {
  const auto text = [&out](const std::string& value) {
    out += Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  switch (node.kind) {
    case Node::Kind::null:
      out += "null";
      break;
    case Node::Kind::scalar:
      if (!node.quoted && is_plain_json(node.text)) {
        out += node.text;
      } else {
        text(node.text);
      }
      break;
    case Node::Kind::list:
      out += '[';
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        if (i > 0) out += ',';
        write(node.items[i], out);
      }
      out += ']';
      break;
    case Node::Kind::map:
      out += '{';
      for (std::size_t i = 0; i < node.entries.size(); ++i) {
        if (i > 0) out += ',';
        text(node.entries[i].key);
        out += ':';
        write(node.entries[i].value, out);
      }
      out += '}';
      break;
  }
}

}  // namespace

std::optional<Node> read_json(std::string_view text, Diagnostics& diagnostics) {
  JsonBuilder builder(diagnostics);
  Json::sax_parse(text, &builder);
  return builder.take();
}

std::string to_json(const Node& node) {
  std::string out;
  write(node, out);
  return out;
}

}  // namespace trireme::workflow
