/* Calls SetVariable with each file update1.bin, update2.bin ... of its volume and says what the firmware answered.
 *
 * A file holds: attributes (4 bytes), name (32 bytes of UTF-16, zero-padded), vendor GUID (16 bytes), the data.
 */
#include <efi.h>
#include <efilib.h>

#define MOST 65536

typedef struct {
    UINT32 attributes;
    CHAR16 name[16];
    EFI_GUID vendor;
    UINT8 data[MOST];
} __attribute__((packed)) UPDATE;

static UPDATE update;
static UINT8 scratch[MOST];

static UINTN size_of_variable(void) {
    UINTN size = sizeof scratch;
    EFI_STATUS status = uefi_call_wrapper(RT->GetVariable, 5, update.name, &update.vendor, NULL, &size, scratch);
    return EFI_ERROR(status) ? 0 : size;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system) {
    EFI_LOADED_IMAGE *loaded;
    EFI_GUID protocol = LOADED_IMAGE_PROTOCOL;
    CHAR16 path[32];
    InitializeLib(image, system);
    uefi_call_wrapper(BS->HandleProtocol, 3, image, &protocol, (void **)&loaded);
    EFI_FILE_HANDLE root = LibOpenRoot(loaded->DeviceHandle), file;
    for (UINTN n = 1; root && n < 64; n++) {
        SPrint(path, sizeof path, L"\\update%d.bin", n);
        if (EFI_ERROR(uefi_call_wrapper(root->Open, 5, root, &file, path, EFI_FILE_MODE_READ, 0)))
            break;
        UINTN size = sizeof update;
        uefi_call_wrapper(file->Read, 3, file, &size, &update);
        uefi_call_wrapper(file->Close, 1, file);
        UINTN before = size_of_variable(), head = (UINTN)((UINT8 *)update.data - (UINT8 *)&update);
        EFI_STATUS status = uefi_call_wrapper(RT->SetVariable, 5, update.name, &update.vendor, update.attributes,
                                              size - head, update.data);
        Print(L"SEALWRIGHT-UPDATE %d: %s: %r, %d to %d bytes\r\n", n, update.name, status, before, size_of_variable());
    }
    Print(L"SEALWRIGHT-DONE\r\n");
    uefi_call_wrapper(RT->ResetSystem, 4, EfiResetShutdown, EFI_SUCCESS, 0, NULL);
    return EFI_SUCCESS;
}
