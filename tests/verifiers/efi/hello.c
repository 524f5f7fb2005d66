/* Says that it runs and whether Secure Boot is on, then switches off: the program that OVMF is asked to start. */
#include <efi.h>
#include <efilib.h>

static UINT8 one_byte(CHAR16 *name) {
    UINT8 value = 0;
    UINTN size = sizeof value;
    EFI_GUID global = EFI_GLOBAL_VARIABLE;
    uefi_call_wrapper(RT->GetVariable, 5, name, &global, NULL, &size, &value);
    return value;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system) {
    InitializeLib(image, system);
    Print(L"SEALWRIGHT-HELLO SecureBoot=%d SetupMode=%d\r\n", one_byte(L"SecureBoot"), one_byte(L"SetupMode"));
    Print(L"SEALWRIGHT-DONE\r\n");
    uefi_call_wrapper(RT->ResetSystem, 4, EfiResetShutdown, EFI_SUCCESS, 0, NULL);
    return EFI_SUCCESS;
}
