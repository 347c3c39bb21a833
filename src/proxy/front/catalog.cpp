#include "proxy/front/catalog.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace trireme::proxy {

namespace {

using nlohmann::json;

constexpr std::size_t shown_models = 20;
constexpr std::string_view default_tag = ":latest";
/// Ollama's clients read a time here; when a model was made is not known.
constexpr const char* unknown_time = "1970-01-01T00:00:00Z";

bool speaks(ServiceApi api, Dialect dialect) {
  return api == ServiceApi::ollama || (api == ServiceApi::openai && dialect == Dialect::openai);
}

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

json openai_json(const Catalog::Entry& entry) {
  return {{"id", entry.model.name}, {"object", "model"}, {"created", 0}, {"owned_by", "trireme"}};
}

}  // namespace

void Catalog::apply(const EndpointTable& table) {
  entries_.clear();
  by_name_.clear();
  services_.clear();
  for (const auto& [index, service] : table.services()) {
    const ServiceApi api = service.endpoint.api;
    if (!speaks(api, Dialect::openai)) continue;
    services_.push_back({index, api, service.dead()});
    const bool running = std::any_of(service.sites.begin(), service.sites.end(), [](auto& s) { return s.ready; });
    for (const Model& model : service.endpoint.models) {
      const Entry entry{.service = index, .api = api, .model = model, .running = running, .dead = service.dead()};
      const auto [place, is_new] = by_name_.emplace(model.name, entries_.size());
      if (is_new) {
        entries_.push_back(entry);
      } else if (Entry& other = entries_[place->second]; other.dead) {
        other = entry;  // whose model it was is over: another may have it
      }
    }
  }
}

const Catalog::Entry* Catalog::look_up(std::string_view model) const {
  const auto found = by_name_.find(model);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

const Catalog::Entry* Catalog::find(Dialect dialect, std::string_view model) const {
  const Entry* entry = look_up(model);
  if (entry == nullptr && model.ends_with(default_tag)) {
    entry = look_up(model.substr(0, model.size() - default_tag.size()));
    if (entry != nullptr && entry->api != ServiceApi::ollama) return nullptr;
  } else if (entry == nullptr && !model.empty() && model.find(':') == std::string_view::npos) {
    entry = look_up(std::string(model).append(default_tag));
    if (entry != nullptr && entry->api != ServiceApi::ollama) return nullptr;
  }
  return entry != nullptr && speaks(entry->api, dialect) ? entry : nullptr;
}

std::optional<ServiceIndex> Catalog::only_service(Dialect dialect) const {
  for (const bool dead : {false, true}) {
    std::optional<ServiceIndex> only;
    std::size_t count = 0;
    for (const Speaker& one : services_) {
      if (one.dead != dead || !speaks(one.api, dialect)) continue;
      only = one.service;
      ++count;
    }
    if (count > 0) return count == 1 ? only : std::nullopt;
  }
  return std::nullopt;
}

bool Catalog::renames(ServiceIndex service) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.service == service && !entry.model.upstream.empty() && entry.model.upstream != entry.model.name;
  });
}

std::string Catalog::listed(Dialect dialect) const {
  std::string names;
  std::size_t count = 0;
  for (const Entry& entry : entries_) {
    if (!speaks(entry.api, dialect)) continue;
    if (++count > shown_models) continue;
    names.append(names.empty() ? "" : ", ").append(entry.model.name);
  }
  if (count == 0) {
    return dialect == Dialect::openai ? "no service of this run names models (`models:` in the workflow file)"
                                      : "no service of this run with `api: ollama` names models";
  }
  if (count > shown_models) names.append(" and ").append(std::to_string(count - shown_models)).append(" more");
  return "there are: " + names;
}

std::string Catalog::no_such_model(Dialect dialect, std::string_view model) const {
  std::string text = "model '" + std::string(model) + "' not found";
  if (dialect == Dialect::ollama && look_up(model) != nullptr) return text + " here: it is served under /v1";
  return text + "; " + listed(dialect);
}

std::string Catalog::model_missing(Dialect dialect) const {
  return "the request names no model, and there is more than one service, or none; " + listed(dialect);
}

std::string Catalog::openai_list() const {
  json data = json::array();
  for (const Entry& entry : entries_) {
    if (!entry.dead) data.push_back(openai_json(entry));
  }
  return text_of({{"object", "list"}, {"data", std::move(data)}});
}

std::string Catalog::openai_model(const Entry& entry) const {
  return text_of(openai_json(entry));
}

std::string Catalog::ollama_list(bool running_only) const {
  json models = json::array();
  for (const Entry& entry : entries_) {
    if (entry.api != ServiceApi::ollama || entry.dead || (running_only && !entry.running)) continue;
    models.push_back({{"name", entry.model.name},
                      {"model", entry.model.name},
                      {running_only ? "expires_at" : "modified_at", unknown_time},
                      {"size", 0},
                      {"digest", ""},
                      {"details",
                       {{"parent_model", ""},
                        {"format", ""},
                        {"family", ""},
                        {"families", json::array()},
                        {"parameter_size", ""},
                        {"quantization_level", ""}}}});
    if (running_only) models.back()["size_vram"] = 0;
  }
  return text_of({{"models", std::move(models)}});
}

std::string Catalog::ollama_tags() const {
  return ollama_list(false);
}

std::string Catalog::ollama_running() const {
  return ollama_list(true);
}

}  // namespace trireme::proxy
