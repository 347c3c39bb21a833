// Which models there are, and which service answers for each: the endpoint table by the names that clients use.
//
// Made anew from the table at each epoch, so looking a name up is one step. The lists are in the APIs' own shapes. A model
// of an `openai` service is reached under /v1, one of an `ollama` service under /v1 and /api, because Ollama speaks both.
// Belongs to the event loop.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/endpoints.hpp"
#include "proxy/front/dialect.hpp"

namespace trireme::proxy {

class Catalog {
 public:
  struct Entry {
    ServiceIndex service;
    ServiceApi api = ServiceApi::openai;
    Model model;
    bool running = false;  ///< a replica of it is ready
    bool dead = false;     ///< nothing answers for it and nothing will
  };

  void apply(const EndpointTable& table);

  /// Null if nobody answers for that name in this API. For Ollama "name" and "name:latest" are one.
  const Entry* find(Dialect dialect, std::string_view model) const;
  /// The one service that speaks the API, if there is exactly one, of those that live if any does: where requests that name no
  /// model go.
  std::optional<ServiceIndex> only_service(Dialect dialect) const;
  /// The service knows a model by another name than clients.
  bool renames(ServiceIndex service) const;
  /// For the client: that there is no such model, and which there are.
  std::string no_such_model(Dialect dialect, std::string_view model) const;
  /// For the client: that it must name one, and which there are.
  std::string model_missing(Dialect dialect) const;

  std::string openai_list() const;
  std::string openai_model(const Entry& entry) const;
  std::string ollama_tags() const;
  std::string ollama_running() const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  const Entry* look_up(std::string_view model) const;
  std::string listed(Dialect dialect) const;
  std::string ollama_list(bool running_only) const;

  std::vector<Entry> entries_;  ///< by service, as the workflow file names them
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> by_name_;
  struct Speaker {
    ServiceIndex service;
    ServiceApi api = ServiceApi::openai;
    bool dead = false;
  };
  std::vector<Speaker> services_;
};

}  // namespace trireme::proxy
