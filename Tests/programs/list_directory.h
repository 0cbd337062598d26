// What more than one of the programs tries.
#include <dirent.h>
#include <errno.h>

// Opens a directory and reads its first entry: 0, or the error.
static int list_directory(const char *path) {
    DIR *directory = opendir(path);
    if (!directory) return errno;
    errno = 0;
    (void)readdir(directory);
    int error = errno;
    closedir(directory);
    return error;
}
