#include "launch/pmix/server/info.hpp"

namespace trireme::pmix {

InfoList::~InfoList() {
  for (pmix_info_t& entry : entries_) PMIX_INFO_DESTRUCT(&entry);
}

void InfoList::load(const char* key, const void* value, pmix_data_type_t type) {
  pmix_info_t entry;
  PMIX_INFO_CONSTRUCT(&entry);
  PMIX_INFO_LOAD(&entry, key, value, type);
  entries_.push_back(entry);
}

void InfoList::add(const char* key, const std::string& text, pmix_data_type_t type) {
  load(key, text.c_str(), type);
}
void InfoList::add(const char* key, std::uint32_t number) {
  load(key, &number, PMIX_UINT32);
}
void InfoList::add(const char* key, std::uint16_t number) {
  load(key, &number, PMIX_UINT16);
}
void InfoList::add_rank(const char* key, pmix_rank_t rank) {
  load(key, &rank, PMIX_PROC_RANK);
}
void InfoList::add_flag(const char* key) {
  const bool yes = true;
  load(key, &yes, PMIX_BOOL);
}

void InfoList::add_array(const char* key, const InfoList& entries) {
  pmix_data_array_t array{};
  array.type = PMIX_INFO;
  array.size = entries.size();
  array.array = const_cast<pmix_info_t*>(entries.entries().data());  // copied, not changed
  load(key, &array, PMIX_DATA_ARRAY);
}

}  // namespace trireme::pmix
