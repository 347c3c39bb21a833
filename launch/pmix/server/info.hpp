// Lists of PMIx attributes that free themselves, and a wait for PMIx's completion callbacks.
#pragma once

#include <pmix_server.h>

#include <cstdint>
#include <future>
#include <string>
#include <vector>

namespace trireme::pmix {

/// Attributes in the order in which they were added. PMIx copies what it is given.
class InfoList {
 public:
  InfoList() = default;
  ~InfoList();
  InfoList(const InfoList&) = delete;
  InfoList& operator=(const InfoList&) = delete;

  void add(const char* key, const std::string& text, pmix_data_type_t type = PMIX_STRING);
  void add(const char* key, std::uint32_t number);
  void add(const char* key, std::uint16_t number);
  void add_rank(const char* key, pmix_rank_t rank);
  void add_flag(const char* key);
  /// An array of attributes, e.g. PMIX_PROC_INFO_ARRAY.
  void add_array(const char* key, const InfoList& entries);

  pmix_info_t* data() { return entries_.data(); }
  const std::vector<pmix_info_t>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }

 private:
  void load(const char* key, const void* value, pmix_data_type_t type);
  std::vector<pmix_info_t> entries_;
};

/// What a non-blocking PMIx call came to. Give complete() and the object to the call, and its return value to result().
class Completion {
 public:
  static void complete(pmix_status_t status, void* self) { static_cast<Completion*>(self)->status_.set_value(status); }
  pmix_status_t result(pmix_status_t returned) {
    if (returned == PMIX_SUCCESS) return status_.get_future().get();
    return returned == PMIX_OPERATION_SUCCEEDED ? PMIX_SUCCESS : returned;
  }

 private:
  std::promise<pmix_status_t> status_;
};

}  // namespace trireme::pmix
