//! Derive macros of the EventFabric SDK.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, parse_macro_input, spanned::Spanned};

/// Reads a row of a query into a struct, field by field, by the names of the columns.
/// `#[column("name")]` on a field names another column.
#[proc_macro_derive(FromRow, attributes(column))]
pub fn derive_from_row(input: TokenStream) -> TokenStream {
    from_row(&parse_macro_input!(input)).unwrap_or_else(|error| error.into_compile_error()).into()
}

fn from_row(input: &DeriveInput) -> Result<proc_macro2::TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => &fields.named,
            other => return Err(Error::new(other.span(), "FromRow needs fields with names")),
        },
        _ => return Err(Error::new(input.span(), "FromRow is for structs")),
    };
    let values = fields.iter().map(|field| {
        let ident = field.ident.as_ref().expect("the fields have names");
        let attribute = field.attrs.iter().find(|attribute| attribute.path().is_ident("column"));
        let column = match attribute {
            Some(attribute) => attribute.parse_args::<LitStr>()?.value(),
            None => ident.to_string().trim_start_matches("r#").to_owned(),
        };
        Ok(quote! { #ident: row.take(#column)? })
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    let name = &input.ident;
    let (impl_generics, type_generics, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::eventfabric_sdk::FromRow for #name #type_generics #bounds {
            fn from_row(mut row: ::eventfabric_sdk::Row) -> ::eventfabric_sdk::Result<Self> {
                ::std::result::Result::Ok(Self { #(#values),* })
            }
        }
    })
}
