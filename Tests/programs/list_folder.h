// What more than one of the programs tries.
#include <dirent.h>
#include <errno.h>

// Opens a folder and reads its first entry: 0, or the error.
static int list_folder(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) return errno;
    errno = 0;
    (void)readdir(folder);
    int error = errno;
    closedir(folder);
    return error;
}
